"""A table of clips for the terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table


def clip_rows(rows: list[dict[str, Any]]) -> Table:
    """One line per clip: rows of the clips table without their pictures."""
    table = Table(title="clips", title_justify="left")
    for name in ("clip_id", "video", "span (s)", "size", "fps", "frames", "key frames"):
        table.add_column(name, overflow="fold", min_width=5)
    # Wraps, so that a long text in a narrow terminal leaves room for the other columns.
    table.add_column("text", max_width=60)
    for row in rows:
        start, end = row["start_seconds"], row["end_seconds"]
        texts = row["texts"]
        more = f" (+{len(texts) - 1})" if len(texts) > 1 else ""
        table.add_row(
            row["clip_id"],
            row["video_uri"].rsplit("/", 1)[-1],
            "whole" if start is None and end is None else f"{start or 0:g} – {end or 'end'}",
            f"{row['width_px']}x{row['height_px']}",
            f"{row['fps']:.2f}" if row["fps"] else "",
            str(row["num_frames"]),
            f"{row['num_key_frames']} by {row['strategy']}",
            texts[0]["text"] + more if texts else "",
        )
    return table
