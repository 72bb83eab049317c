"""The architecture's import rules: heavy libraries stay behind the one module meant for them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = sorted(
    path.relative_to(REPOSITORY)
    for package in ("mama_augment", "mama_train")
    for path in (REPOSITORY / package).rglob("*.py")
)


def imported_names(path: Path) -> set[str]:
    """Dotted names that a module imports anywhere, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((REPOSITORY / path).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return names


def importers_of(library: str) -> set[str]:
    return {
        path.as_posix()
        for path in MODULES
        if any(name.split(".")[0] == library for name in imported_names(path))
    }


def test_only_the_vllm_engine_imports_vllm() -> None:
    assert importers_of("vllm") == {"mama_augment/caption/engines/vllm.py"}


def test_only_the_ray_runtime_imports_ray() -> None:
    assert importers_of("ray") == {"mama_augment/runtime/ray.py"}


@pytest.mark.parametrize("decoder", ["av", "decord"])
def test_only_decode_and_the_shapes_world_import_a_decoder(decoder: str) -> None:
    for path in importers_of(decoder):
        assert path.startswith(("mama_augment/decode/", "mama_augment/shapes/")), path


def test_the_trainer_takes_only_core_from_the_pipeline() -> None:
    for path in MODULES:
        if path.parts[0] != "mama_train":
            continue
        taken = {n for n in imported_names(path) if n.split(".")[0] == "mama_augment"}
        for name in taken - {"mama_augment"}:
            assert name.split(".")[1] == "core", f"{path} imports {name}"


def test_the_pipeline_never_imports_the_trainer() -> None:
    assert {p for p in importers_of("mama_train") if p.startswith("mama_augment/")} == set()


@pytest.mark.parametrize("module", ["mama_augment.keyframes.step", "mama_augment.balance.step"])
def test_keyframes_and_balance_run_without_torch(module: str) -> None:
    code = f"import {module}, sys; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.stdout.strip(), result.returncode) == ("False", 0), result.stderr


@pytest.mark.parametrize("command", ["mama_augment.cli", "mama_train.cli"])
def test_help_starts_without_heavy_libraries(command: str) -> None:
    heavy = ("torch", "ray", "vllm", "av", "cv2", "sklearn", "transformers", "matplotlib")
    code = f"import {command}, sys; print([m for m in {heavy!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.stdout.strip(), result.returncode) == ("[]", 0), result.stderr


def test_modules_stay_readable_in_one_sitting() -> None:
    long = {
        p.as_posix(): n
        for p in MODULES
        if (n := len((REPOSITORY / p).read_text().splitlines())) > 320
    }
    assert long == {}
