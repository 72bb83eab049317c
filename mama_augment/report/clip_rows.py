"""A table of clips for the terminal, and what became of those that have no row."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rich.table import Table

from mama_augment.store import StepDir


def clip_rows(rows: list[dict[str, Any]]) -> Table:
    """One line per clip: rows of the clips table without their pictures."""
    table = Table(title="clips", title_justify="left")
    for name in ("clip_id", "video", "span (s)", "size", "fps", "frames", "key frames"):
        table.add_column(name, overflow="fold")
    table.add_column("text", no_wrap=True)
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


def reject_rows(step_dir: StepDir) -> Table | None:
    """Reasons of rejects with their number and one example each; None when there are none."""
    records = step_dir.records().values()
    rejects = [reject for record in records for reject in step_dir.read_rejects(record)]
    if not rejects:
        return None
    table = Table(title="rejects", title_justify="left")
    for name in ("verdict", "reason", "clips", "for example"):
        table.add_column(name, overflow="fold")
    example = {(r.verdict, r.reason): r for r in reversed(rejects)}
    for (verdict, reason), number in Counter((r.verdict, r.reason) for r in rejects).most_common():
        first = example[verdict, reason]
        table.add_row(verdict, reason, str(number), f"{first.id}: {first.message}")
    return table
