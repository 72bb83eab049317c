"""`from mama_augment import …`: what an outsider needs, and nothing before it is needed."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import mama_augment

HEAVY = ["torch", "ray", "vllm", "av", "cv2", "sklearn", "transformers", "matplotlib", "scipy"]


def loaded_by(code: str) -> list[str]:
    """The libraries that `code` brings into a fresh interpreter."""
    libraries = [*HEAVY, "typer", "pyarrow"]
    code += f"\nimport sys; print(*[m for m in {libraries!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def test_importing_the_package_is_quick_and_loads_no_library() -> None:
    code = (
        "import time; start = time.perf_counter(); import mama_augment; "
        "assert time.perf_counter() - start < 0.1"
    )
    assert loaded_by(code) == []


def test_the_steps_load_neither_torch_nor_ray_nor_a_decoder() -> None:
    names = "AskConfig, Balance, Caption, KeyFrames, RuntimeConfig, make_caption_plan, run"
    found = loaded_by(f"from mama_augment import {names}")
    assert set(found) <= {"pyarrow", "cv2"}, found


def test_every_name_is_its_owners_and_known_to_type_checkers() -> None:
    tree = ast.parse(inspect.getsource(mama_augment))
    typed = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in typed.body if isinstance(node, ast.ImportFrom)]
    owners = {alias.name: node.module for node in imports for alias in node.names}
    assert {"__version__", *owners} == set(dir(mama_augment)) == set(mama_augment.__all__)
    for name, owner in owners.items():
        assert getattr(mama_augment, name) is getattr(sys.modules[str(owner)], name), name
    with pytest.raises(AttributeError, match="no attribute 'Captioner'"):
        _ = mama_augment.Captioner  # type: ignore[attr-defined]


def test_run_continues_and_starts_afresh(tmp_path: Path) -> None:
    from mama_augment import ClipConfig, InputError, KeyFrameConfig, KeyFrames, KeyFramesStep, run

    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/broken.mp4").write_bytes(b"not a video")
    out = str(tmp_path / "clips")

    def step(num_frames: int) -> KeyFrames:
        choice = KeyFrameConfig(num_frames=num_frames)
        return KeyFrames.of(str(tmp_path / "videos"), KeyFramesStep(clip=ClipConfig(choice=choice)))

    ledger = run(step(4), out)
    assert (ledger.num_in, ledger.num_rejected, ledger.exit_code) == (1, 1, 1)
    assert run(step(4), out) == ledger
    with pytest.raises(InputError, match="num_frames"):
        run(step(5), out)
    assert run(step(5), out, overwrite=True).num_rejected == 1


def test_a_caption_step_brings_its_own_runtime(tmp_path: Path) -> None:
    from mama_augment import AskConfig, Caption, InputError, RuntimeConfig, run

    step = Caption.of(str(tmp_path), AskConfig(model="llava-shapes"), engine="transformers")
    assert step.runtime.num_workers == 1
    with pytest.raises(InputError, match="own runtime"):
        run(step, str(tmp_path / "out"), RuntimeConfig(num_workers=3))
