"""Small clips and captions directories with the real schemas, written through the real store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from mama_augment.core import schema
from mama_augment.core.manifest import Manifest
from mama_augment.core.store.step_dir import StepDir


def jpeg(number: int, size_px: tuple[int, int] = (32, 24)) -> bytes:
    """A small JPEG whose colour depends on `number`."""
    image = np.full((size_px[1], size_px[0], 3), (number * 37 % 256, number * 11 % 256, 90))
    ok, data = cv2.imencode(".jpg", image.astype(np.uint8))
    assert ok
    return bytes(data)


def clip(
    clip_id: str,
    *texts: tuple[str, str, bool] | str,
    video: str | None = None,
    split: str | None = None,
    num_frames: int = 2,
    **columns: Any,
) -> dict[str, Any]:
    """A row of the clips table; a plain text is an untrusted human one."""
    number = sum(clip_id.encode())
    full = [(t, "human", False) if isinstance(t, str) else t for t in texts]
    return {
        "clip_id": clip_id,
        "video_uri": video or f"{clip_id}.mp4",
        "num_frames": 50,
        "strategy": "peaks",
        "num_key_frames": num_frames,
        "frame_index": list(range(num_frames)),
        "frame_seconds": [i / 10 for i in range(num_frames)],
        "frames": [jpeg(number + i) for i in range(num_frames)],
        "texts": [{"text": t, "source": s, "trusted": v} for t, s, v in full],
        "split": split,
        **columns,
    }


def write_clips(
    path: Path | str,
    rows: Sequence[Mapping[str, Any]],
    rows_per_unit: int = 7,
    extra: Sequence[pa.Field] = (),
    name: str | None = None,
) -> str:
    """Commit rows as a clips directory of several units.

    name: which clips these are, to a step that remembers what it read; by default as the folder.
    """
    table = pa.Table.from_pylist(list(rows), pa.schema([*schema.CLIPS, *extra]))
    return _write(path, "keyframes", table, rows_per_unit, name)


def caption(clip_id: str, index: int, text: str | None, **columns: Any) -> dict[str, Any]:
    """A row of the captions table; without a text, a rejected one."""
    return {
        "clip_id": clip_id,
        "caption_index": index,
        "text": text,
        "raw_text": text,
        "status": "rejected" if text is None else "ok",
        "reason": "empty" if text is None else None,
        "model": "tiny",
        "model_revision": "1",
        "prompt_name": "process",
        "grid_rows": 3,
        "grid_columns": 4,
        "sampling": "{}",
        "seed": 0,
        "caption_key": f"{clip_id}/{index}",
        "num_prompt_tokens": 10,
        "num_output_tokens": 5,
        "finish_reason": "stop",
        **columns,
    }


def write_captions(
    path: Path | str, rows: Sequence[Mapping[str, Any]], rows_per_unit: int = 5
) -> str:
    return _write(path, "caption", pa.Table.from_pylist(list(rows), schema.CAPTIONS), rows_per_unit)


def write_scores(path: Path, found: Mapping[tuple[str, str], float]) -> str:
    """Commit agreements by (clip, text) as the output of `score`."""
    rows = [
        {"clip_id": c, "text": t, "source": "x", "caption_index": 0, "agreement": value}
        for (c, t), value in found.items()
    ]
    manifest = Manifest(
        step="score", config={}, input_fingerprint="x", units={"0": len(rows)}, versions={}
    )
    step_dir = StepDir.create_or_resume(str(path), manifest)
    step_dir.commit("0", pa.Table.from_pylist(rows, schema.SCORES))
    return str(path)


def _write(
    path: Path | str, step: str, table: pa.Table, rows_per_unit: int, name: str | None = None
) -> str:
    starts = range(0, table.num_rows, rows_per_unit)
    parts = {f"{n:05d}": table.slice(start, rows_per_unit) for n, start in enumerate(starts)}
    manifest = Manifest(
        step=step,
        config={},
        input_fingerprint=name or Path(path).name,
        units={unit_id: part.num_rows for unit_id, part in parts.items()},
        versions={},
    )
    step_dir = StepDir.create_or_resume(str(path), manifest)
    for unit_id, part in parts.items():
        step_dir.commit(unit_id, part)
    return str(path)
