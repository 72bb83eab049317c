"""A run's records on disk: `history.jsonl`, one row per step or evaluation, and `metrics.json`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mama_augment.core.safe.own_files import open_own
from mama_augment.core.store.files import write_whole

Row = dict[str, Any]


class History:
    """Appends rows to `history.jsonl`; each row has `kind` (step or eval) and `step`."""

    def __init__(self, folder: Path, *, keep_up_to: int = 0) -> None:
        """Rows after step `keep_up_to` are dropped: a resumed run writes them again."""
        self.path = folder / "history.jsonl"
        kept = [r for r in read_history(folder) if r["step"] <= keep_up_to]
        write_whole(self.path, "".join(json.dumps(r) + "\n" for r in kept))

    def add(self, rows: Iterable[Row]) -> None:
        """Append rows to the file."""
        text = "".join(json.dumps(row) + "\n" for row in rows)
        descriptor = open_own(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        with os.fdopen(descriptor, "a") as stream:
            stream.write(text)


def read_history(folder: Path) -> list[Row]:
    """All rows; a last line that a kill cut short is left out."""
    path = folder / "history.jsonl"
    if not path.is_file():
        return []
    lines = path.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1] if line]


def write_json(path: Path, content: Any) -> None:
    write_whole(path, json.dumps(content, indent=1))
