"""The GPU benchmark runs where torch, transformers, numpy and pyarrow are all that is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
BLOCKER = """
import runpy, sys
class Blocked:
    names = set('''
        annotated_types pydantic pydantic_core rich cv2 PIL av ray sklearn scipy matplotlib
        ahocorasick_rs threadpoolctl tensorboard pandas vllm decord webdataset
    '''.split())
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"blocked: {name}", name=name)
sys.meta_path.insert(0, Blocked())
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in Blocked.names else real(name, *rest)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_it_needs_nothing_else(tmp_path: Path) -> None:
    script = str(REPOSITORY / "benchmarks/gpu_training.py")
    out = tmp_path / "found.json"
    words = "--device cpu --size small --batches 8 --precision fp32 --seconds 25 --rows-per-pass 4"
    command = [sys.executable, "-c", BLOCKER, script, *words.split(), "--json", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert [row["method"] for row in found] == ["plain", "lagged", "exact", "amortised"]
    measured = [row for row in found if "left_out" not in row]
    assert measured[0]["method"] == "plain"
    assert all(row["samples_per_second"] > 0 for row in measured)
