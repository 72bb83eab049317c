"""Before the step `keyframes`: turn every video of a clip list into several clips.

The list of pieces is kept in the output directory (`input/`), so that a resumed run works on the
same pieces without looking at the videos again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq

from mama_augment.clip_list import CLIP_LIST
from mama_augment.files import Folder
from mama_augment.isolate import IsolatedFunction, IsolationError
from mama_augment.records import fingerprint
from mama_augment.steps.keyframes import KeyFramesStep, clip_list_fingerprint
from mama_augment.store import parquet_bytes
from mama_augment.video.config import Span
from mama_augment.video.errors import ClipError

SPLIT = "mama_augment.video.split:split_video"


def split_clips(
    out: str,
    clips: pa.Table,
    step: KeyFramesStep,
    *,
    num_workers: int,
    on_done: Callable[[], None] = lambda: None,
) -> pa.Table:
    """The clip list with every clip replaced by its pieces; the same list on every run.

    A clip that cannot be read stays whole: the step will say why. Pieces are called after their
    clip (`id-0000`, …) and keep its columns; texts about the whole are not `trusted` of a piece.
    """
    key = fingerprint([clip_list_fingerprint(clips), step.manifest_config()])
    folder, name = Folder(out), f"input/clips-{key}.parquet"
    if folder.exists(name):
        with folder.open_input(name) as stream:
            return pq.read_table(stream).cast(clips.schema)
    with ThreadPoolExecutor(num_workers) as pool, _Splitters(step) as splitters:
        pieces = []
        for found in pool.map(splitters.split, clips.select(CLIP_LIST.names).to_pylist()):
            pieces.append(found)
            on_done()
    table = _expand(clips, pieces)
    folder.write_bytes(name, parquet_bytes(table))
    return table


class _Splitters:
    """One isolated process per thread."""

    def __init__(self, step: KeyFramesStep) -> None:
        self._step = step
        self._mine = threading.local()
        self._all: list[IsolatedFunction] = []

    def __enter__(self) -> _Splitters:
        return self

    def __exit__(self, *_: object) -> None:
        for function in self._all:
            function.close()

    def split(self, clip: dict) -> list[Span]:
        if not hasattr(self._mine, "function"):
            self._mine.function = IsolatedFunction(SPLIT, self._step.isolation())
            self._all.append(self._mine.function)
        whole = Span(start_seconds=clip["start_seconds"], end_seconds=clip["end_seconds"])
        try:
            spans: list[Span] = self._mine.function(
                clip["video_uri"], whole, self._step.split, self._step.clip
            )
            return spans
        except (ClipError, IsolationError):
            return [whole]


def _expand(clips: pa.Table, pieces: list[list[Span]]) -> pa.Table:
    rows = [row for row, spans in enumerate(pieces) for _ in spans]
    table = clips.take(pa.array(rows)).combine_chunks()
    columns = {
        "clip_id": list(_piece_ids(clips["clip_id"].to_pylist(), pieces)),
        "start_seconds": [span.start_seconds for spans in pieces for span in spans],
        "end_seconds": [span.end_seconds for spans in pieces for span in spans],
        "texts": [
            texts if len(spans) == 1 else [{**text, "trusted": False} for text in texts]
            for texts, spans in zip(clips["texts"].to_pylist(), pieces, strict=True)
            for _ in spans
        ],
    }
    for name, values in columns.items():
        position = table.schema.get_field_index(name)
        field = table.schema.field(position)
        table = table.set_column(position, field, pa.array(values, field.type))
    return table


def _piece_ids(clip_ids: list[str], pieces: list[list[Span]]) -> Iterator[str]:
    for clip_id, spans in zip(clip_ids, pieces, strict=True):
        if len(spans) == 1:
            yield clip_id
        else:
            yield from (f"{clip_id}-{number:04d}" for number in range(len(spans)))
