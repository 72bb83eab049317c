"""The architecture's import rules: heavy libraries stay behind the one module meant for them."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter, defaultdict
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
    heavy = ["torch", "ray", "vllm", "av", "cv2", "sklearn", "transformers", "matplotlib", "scipy"]
    code = f"import {command}, sys; print([m for m in {heavy!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.stdout.strip(), result.returncode) == ("[]", 0), result.stderr


MOST_SIDE_BY_SIDE = 13
REGISTRIES = {
    "mama_augment/cli": "one command a file",
    "mama_augment/inputs/datasets": "one data set a file",
}
"""Folders that hold one variant, command or reader a file may have more of them."""


def test_no_folder_holds_more_modules_than_one_can_see() -> None:
    modules = [path for path in MODULES if path.name != "__init__.py"]
    counts = Counter(path.parent.as_posix() for path in modules)
    full = {name: n for name, n in counts.items() if n > MOST_SIDE_BY_SIDE}
    assert full.keys() <= REGISTRIES.keys(), full


def folder_of(module: Path) -> str:
    return module.parent.as_posix()


def imported_folders(path: Path) -> set[str]:
    """Folders of both packages that a module imports from, lazily or for typing too."""
    found = set()
    for name in imported_names(path):
        while name:
            place = Path(*name.split("."))
            if place.with_suffix(".py") in KNOWN:
                found.add(folder_of(place.with_suffix(".py")))
                break
            if place / "__init__.py" in KNOWN:
                found.add(place.as_posix())
                break
            name = name.rpartition(".")[0]
    return found


KNOWN = set(MODULES)


@pytest.mark.parametrize("package", ["mama_augment", "mama_train"])
def test_folders_import_each_other_in_no_circle(package: str) -> None:
    edges: dict[str, set[str]] = defaultdict(set)
    for path in MODULES:
        if path.parts[0] == package and folder_of(path) != package:
            edges[folder_of(path)] |= imported_folders(path) - {package, folder_of(path)}
    finished: set[str] = set()

    def visit(folder: str, way: tuple[str, ...]) -> None:
        assert folder not in way, f"circle: {' -> '.join([*way, folder])}"
        if folder not in finished:
            for other in sorted(edges.get(folder, ())):
                visit(other, (*way, folder))
            finished.add(folder)

    for folder in sorted(edges):
        visit(folder, ())


def test_core_stands_on_nothing() -> None:
    """core imports no other folder; its store and shared parts import core and its doors alone."""
    for path in MODULES:
        if path.as_posix().startswith("mama_augment/core/"):
            allowed = {"mama_augment", "mama_augment/core"}
            if path.parts[2] in ("safe", "store", "shared"):
                allowed |= {f"mama_augment/core/{path.parts[2]}", "mama_augment/core/safe"}
            assert imported_folders(path) <= allowed, path


def test_every_folder_of_tests_mirrors_a_folder_of_its_package() -> None:
    packages = {"augment": "mama_augment", "train": "mama_train"}
    for tests, package in packages.items():
        for file in (REPOSITORY / "tests" / tests).rglob("test_*.py"):
            folder = file.parent.relative_to(REPOSITORY / "tests" / tests)
            assert (REPOSITORY / package / folder).is_dir(), file


def test_modules_stay_readable_in_one_sitting() -> None:
    long = {
        p.as_posix(): n
        for p in MODULES
        if (n := len((REPOSITORY / p).read_text().splitlines())) > 320
    }
    assert long == {}
