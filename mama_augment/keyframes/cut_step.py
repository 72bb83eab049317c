"""Before the step `keyframes`: cut every video of a clip list into several clips.

The list of clips is kept in the output directory (`input/`), so that a resumed run works on the
same clips without looking at the videos again; what could not be cut is noted in its metadata.
"""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from mama_augment.core.errors import InputError
from mama_augment.core.manifest import Manifest, fingerprint
from mama_augment.core.step import Output
from mama_augment.core.store.files import Folder
from mama_augment.core.store.layout import parquet_bytes
from mama_augment.core.store.records import WAY_OUT, check_config
from mama_augment.core.store.step_dir import StepDir
from mama_augment.decode.config import Span
from mama_augment.decode.errors import ClipError, verdict_of
from mama_augment.inputs.clip_list import CLIP_LIST
from mama_augment.keyframes.config import STEP, KeyFramesStep, clip_list_fingerprint
from mama_augment.runtime.isolate import IsolatedFunction, IsolationError

CUT = "mama_augment.keyframes.cut:cut_video"
UNCUT = b"uncut"


@dataclass(frozen=True, kw_only=True)
class Uncut:
    """A video that stays one clip for a reason that may be gone next time."""

    clip_id: str
    reason: str
    message: str


def cut_clips(
    out: Output[StepDir],
    clips: pa.Table,
    step: KeyFramesStep,
    *,
    num_workers: int,
    on_done: Callable[[int], None] = lambda number: None,
) -> tuple[pa.Table, list[Uncut]]:
    """The clip list with every row replaced by the clips that it is cut into, the same list on
    every run; and what could not be cut.

    What cannot be read stays whole: the step will say why. Clips are called after their row
    (`id-0000`, …) and keep its columns; texts about the whole are not `trusted` of a part.

    Raises:
        InputError: the directory holds something else; before anything is decoded.
    """
    is_begun = _check_directory(out, step)
    key = fingerprint([clip_list_fingerprint(clips), step.manifest_config()])
    folder, name = Folder(out.uri), f"input/clips-{key}.parquet"
    if folder.exists(name) and not out.overwrite:
        with folder.open_input(name) as stream:
            known = pq.read_table(stream)
        notes = json.loads((known.schema.metadata or {}).get(UNCUT, b"[]"))
        return known.cast(clips.schema), [Uncut(**note) for note in notes]
    if is_begun:
        raise InputError(
            f"{out.uri!r} was made from another input than the one given (its input/ holds no "
            f"clips of this one). {WAY_OUT}"
        )
    cuts, uncut = [], []
    with ThreadPoolExecutor(num_workers) as pool, _Cutters(step) as cutters:
        for spans, failure in pool.map(cutters.cut, clips.select(CLIP_LIST.names).to_pylist()):
            cuts.append(spans)
            uncut += [failure] if failure else []
            on_done(1)
    table = _expand(clips, cuts)
    notes = json.dumps([dataclasses.asdict(failure) for failure in uncut]).encode()
    noted = table.replace_schema_metadata({**(table.schema.metadata or {}), UNCUT: notes})
    folder.write_bytes(name, parquet_bytes(noted))
    return table, uncut


def _check_directory(out: Output[StepDir], step: KeyFramesStep) -> bool:
    """Whether a run with this config has begun there; refuses what opening it will refuse."""
    config = step.manifest_config()
    if (begun := out.begun()) is not None:
        check_config(begun.manifest, STEP, config, out.uri)
        return True
    nothing = Manifest(step=STEP, config=config, input_fingerprint="", units={}, versions={})
    out.to_resume(nothing)
    return False


class _Cutters:
    """One isolated process per thread."""

    def __init__(self, step: KeyFramesStep) -> None:
        self._step = step
        self._mine = threading.local()
        self._all: list[IsolatedFunction] = []

    def __enter__(self) -> _Cutters:
        return self

    def __exit__(self, *_: object) -> None:
        for function in self._all:
            function.close()

    def cut(self, clip: dict) -> tuple[list[Span], Uncut | None]:
        """The spans of the clips; or the whole, and why if trying again may help."""
        if not hasattr(self._mine, "function"):
            self._mine.function = IsolatedFunction(CUT, self._step.isolation())
            self._all.append(self._mine.function)
        whole = Span(start_seconds=clip["start_seconds"], end_seconds=clip["end_seconds"])
        failure = None
        for _ in range(self._step.work.num_attempts):
            try:
                spans: list[Span] = self._mine.function(
                    clip["video_uri"], whole, self._step.cut, self._step.clip
                )
                return spans, None
            except (ClipError, IsolationError) as error:
                if verdict_of(error.reason) == "rejected":
                    return [whole], None
                failure = Uncut(clip_id=clip["clip_id"], reason=error.reason, message=error.message)
        return [whole], failure


def _expand(clips: pa.Table, cuts: list[list[Span]]) -> pa.Table:
    rows = [row for row, spans in enumerate(cuts) for _ in spans]
    table = clips.take(pa.array(rows)).combine_chunks()
    columns = {
        "clip_id": list(_cut_ids(clips["clip_id"].to_pylist(), cuts)),
        "start_seconds": [span.start_seconds for spans in cuts for span in spans],
        "end_seconds": [span.end_seconds for spans in cuts for span in spans],
        "texts": [
            texts if len(spans) == 1 else [{**text, "trusted": False} for text in texts]
            for texts, spans in zip(clips["texts"].to_pylist(), cuts, strict=True)
            for _ in spans
        ],
    }
    for name, values in columns.items():
        position = table.schema.get_field_index(name)
        field = table.schema.field(position)
        table = table.set_column(position, field, pa.array(values, field.type))
    return table


def _cut_ids(clip_ids: list[str], cuts: list[list[Span]]) -> Iterator[str]:
    for clip_id, spans in zip(clip_ids, cuts, strict=True):
        if len(spans) == 1:
            yield clip_id
        else:
            yield from (f"{clip_id}-{number:04d}" for number in range(len(spans)))
