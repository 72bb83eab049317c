"""One JSON object per text and line, UTF-8; nothing is changed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mama_augment.people.export.formats.base import Add, Example, Format, Target


@contextmanager
def write_jsonl(target: Target) -> Iterator[Add]:
    """Columns without a value are left out, so that a line holds what there is to say."""
    with target.file(target.name) as path, path.open("w", encoding="utf-8") as stream:

        def add(example: Example) -> None:
            for row in example.rows():
                stream.write(to_json(row) + "\n")

        yield add


def to_json(content: dict[str, Any]) -> str:
    """On one line; what is None is left out, and what JSON has no number for is None."""
    kept = {name: value for name, value in content.items() if value is not None}
    return json.dumps(_plain(kept), ensure_ascii=False, allow_nan=False, default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


JSONL = Format(
    help="a JSON object per text and line",
    is_folder=False,
    media=("none",),
    writer=write_jsonl,
)
