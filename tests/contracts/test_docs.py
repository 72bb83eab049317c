"""The docs say what the code says: their generated tables are those of today's code."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def check(script: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, cwd=DOCS.parent
    )


def test_generated_tables_are_those_of_the_code() -> None:
    result = check(DOCS / "generate.py")
    assert result.returncode == 0, f"{result.stdout}{result.stderr}run: python docs/generate.py"


def test_a_stale_table_is_named_and_left_alone(tmp_path: Path) -> None:
    page = "keyframes.md"
    for path in DOCS.glob("*.*"):
        shutil.copy(path, tmp_path)
    stale = (tmp_path / page).read_text().replace("<!-- end -->", "| old |\n<!-- end -->", 1)
    (tmp_path / page).write_text(stale)
    result = check(tmp_path / "generate.py")
    assert (result.returncode, result.stdout.strip()) == (1, f"stale: {page}"), result.stderr
    assert (tmp_path / page).read_text() == stale
