"""What captioners said of a few clips."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from mama_augment.core.store.step_dir import StepDir

COLUMNS = ["clip_id", "text", "raw_text", "status", "reason"]


def captions_of(uris: Sequence[str], clip_ids: Collection[str]) -> dict[str, list[str]]:
    """By clip: its captions, those that were rejected with the reason and what was said.

    Raises:
        InputError: a directory is not the output of `caption`.
    """
    found: dict[str, list[str]] = {clip_id: [] for clip_id in clip_ids}
    wanted = pa.array(list(clip_ids), pa.string())
    for uri in uris:
        for table in StepDir.open(uri, step="caption").tables(COLUMNS):
            for row in table.filter(pc.is_in(table["clip_id"], wanted)).to_pylist():
                is_ok = row["status"] == "ok"
                said = row["text"] if is_ok else f"rejected ({row['reason']}): {row['raw_text']}"
                found[row["clip_id"]].append(said)
    return found
