"""A table of clips for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mama_augment.core.shared import say

COLUMNS = ("clip_id", "video", "span (s)", "size", "fps", "frames", "key frames", "flags", "text")
TEXT_WIDTH = 60
"""A long text wraps, so that a narrow terminal has room for the other columns."""


def show_clip_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    """One line per clip: rows of the clips table without their pictures."""
    lines = []
    with_flags = any(row["flags"] for row in rows)
    for row in rows:
        start, end = row["start_seconds"], row["end_seconds"]
        texts = [*(text["text"] for text in row["texts"]), *row.get("captions", ())]
        more = f" (+{len(texts) - 1})" if len(texts) > 1 else ""
        lines.append(
            (
                row["clip_id"],
                row["video_uri"].rsplit("/", 1)[-1],
                "whole" if start is None and end is None else f"{start or 0:g} – {end or 'end'}",
                f"{row['width_px']}x{row['height_px']}",
                f"{row['fps']:.2f}" if row["fps"] else "",
                str(row["num_frames"]),
                f"{row['num_key_frames']} by {row['strategy']}",
                *([", ".join(row["flags"] or ())] if with_flags else []),
                texts[0] + more if texts else "",
            )
        )
    columns = [name for name in COLUMNS if with_flags or name != "flags"]
    say.table("clips", columns, lines, max_widths={"text": TEXT_WIDTH})
