"""The scripts in examples/ run as a person runs them, and show what they say they show; so does
the code of docs/api.md.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]


def run_example(name: str, *arguments: str) -> str:
    command = [sys.executable, str(REPOSITORY / "examples" / name), *arguments]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_frames_to_grid(tmp_path: Path) -> None:
    from mama_augment.shapes.world.make import WorldConfig, make_world

    make_world(tmp_path / "world", WorldConfig(num_videos=1, meta=0, val=0, test=0))
    video = tmp_path / "world/videos/train-00000.mp4"
    output = run_example("frames_to_grid.py", str(video), str(tmp_path / "grid.png"))
    assert "12 key frames" in output
    grid = np.asarray(Image.open(tmp_path / "grid.png"))
    assert grid.shape == (576, 768, 3)
    cells = grid.reshape(3, 192, 4, 192, 3).swapaxes(1, 2)
    assert (cells.std(axis=(2, 3, 4)) > 5).all(), "a cell of the grid is empty"


def test_thin_the_head() -> None:
    lines = run_example("thin_the_head.py").splitlines()
    kept = {line[:15].strip(): int(line.split()[-2]) for line in lines if line.endswith("kept")}
    assert kept["glass blowing"] == 3
    assert kept["cooking"] < 1000


def test_margin_by_angle() -> None:
    rows = [line.split() for line in run_example("margin_by_angle.py").splitlines() if "°" in line]
    pulls = {row[0]: (float(row[1]), float(row[2])) for row in rows if len(row) == 3}
    assert pulls["2°"][1] == 0.0
    assert all(with_margin <= without for without, with_margin in pulls.values())


@pytest.mark.slow
def test_the_notebook_goes_from_a_folder_to_a_plot(tmp_path: Path) -> None:
    notebook = json.loads((REPOSITORY / "examples/folder_to_plot.ipynb").read_text())
    assert notebook["nbformat"] == 4
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    assert all(not c["outputs"] for c in notebook["cells"] if c["cell_type"] == "code")
    script = tmp_path / "cells.py"
    script.write_text(
        "import matplotlib; matplotlib.use('Agg')\n"
        + "\n\n".join(cells)
        + "\nbars = [round(bar.get_width()) for bar in axes.patches]\n"
        "print(json.dumps([strip.size, len(frames), captions, names, bars]))\n"
    )
    command = [sys.executable, str(script)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    size, num_frames, captions, names, bars = json.loads(result.stdout.splitlines()[-1])
    assert size[0] > size[1] > 100
    assert num_frames == 12
    assert len(captions) == 16
    concepts = json.loads((tmp_path / "work/shards/concepts.json").read_text())
    wanted = sorted(concepts, key=lambda c: -c["num_before"])
    assert names == [c["name"] for c in wanted]
    assert bars == [c["num_before"] for c in wanted] + [c["num_after"] for c in wanted]
    assert sum(bars) > 0
    assert Image.open(tmp_path / "concepts.png").size[0] > 500


@pytest.mark.slow
def test_the_code_of_the_api_page_runs_from_top_to_bottom(tmp_path: Path) -> None:
    page = (REPOSITORY / "docs/api.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    script = tmp_path / "page.py"
    script.write_text("\n".join(blocks))
    result = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[0] == "42 42 0 0"
    assert "0 problems" in result.stdout
    assert "'no such folder' does not exist" in result.stdout
