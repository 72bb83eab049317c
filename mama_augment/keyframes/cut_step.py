"""Before the step `keyframes`: cut every video of a clip list into several clips.

Where each video was cut is kept in the output directory (`cuts/`), so that a resumed run, and one
whose input has grown, works on the same clips without looking at those videos again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from mama_augment.core.breaker import everybodys_fault
from mama_augment.core.manifest import Manifest, fingerprint
from mama_augment.core.reasons import is_shared
from mama_augment.core.step import Output
from mama_augment.core.store.committed import fragment, read
from mama_augment.core.store.files import Folder
from mama_augment.core.store.layout import CUTS_FOLDER, parquet_bytes
from mama_augment.core.store.same import check_config
from mama_augment.core.store.step_dir import StepDir
from mama_augment.decode.config import Span
from mama_augment.decode.errors import ClipError, verdict_of
from mama_augment.decode.isolated import IsolatedDecoder
from mama_augment.inputs.clip_list import CLIP_LIST
from mama_augment.keyframes.config import STEP, KeyFramesStep
from mama_augment.keyframes.grow import stated
from mama_augment.runtime.isolate import IsolationError

NUM_LOST = 16
"""As many videos in a row, from the first on, are no accident."""
CUT = "mama_augment.keyframes.cut:cut_video"
WHOLE = ("clip_id", "video_uri", "start_seconds", "end_seconds")
"""What identifies a row of the list that is cut."""
CUTS = pa.schema(
    [
        *(CLIP_LIST.field(name) for name in WHOLE),
        pa.field("pieces", pa.list_(pa.struct([("start_seconds", "f8"), ("end_seconds", "f8")]))),
        pa.field("reason", pa.string()),
        pa.field("message", pa.string()),
    ]
)
"""One row per row that was cut, with why it stays whole if trying again may help."""


@dataclass(frozen=True, kw_only=True)
class Uncut:
    """A video that stays one clip for a reason that may be gone next time."""

    clip_id: str
    reason: str
    message: str


@dataclass(frozen=True, kw_only=True)
class CutClips:
    """A clip list that was cut."""

    clips: pa.Table
    uncut: list[Uncut]
    files: dict[str, bytes]
    """What is to be kept of what was cut in this run, by name."""


def cut_clips(
    out: Output[StepDir],
    clips: pa.Table,
    step: KeyFramesStep,
    *,
    num_workers: int,
    on_done: Callable[[int], None] = lambda number: None,
) -> CutClips:
    """The clip list with every row replaced by the clips that it is cut into, the same list on
    every run; and what could not be cut. Nothing is written.

    What cannot be read stays whole: the step will say why. Clips are called after their row
    (`id-0000`, …) and keep its columns; texts about the whole are not `trusted` of a part.

    Raises:
        InputError: the directory holds something else; before anything is decoded.
    """
    _check_directory(out, step)
    known = {} if out.overwrite else _read_cuts(Folder(out.uri), step)
    rows = stated(clips.select(WHOLE)).to_pylist()
    identities = [_identity(row) for row in rows]
    todo = [place for place, identity in enumerate(identities) if identity not in known]
    on_done(len(rows) - len(todo))
    files: dict[str, bytes] = {}
    if todo:
        uris = clips["video_uri"].take(pa.array(todo)).to_pylist()
        made = _cut_all(uris, [rows[place] for place in todo], step, num_workers, on_done)
        name = f"{_prefix(step)}{fingerprint([identities[place] for place in todo])}.parquet"
        files[name] = parquet_bytes(pa.Table.from_pylist(made, CUTS)).to_pybytes()
        known |= {_identity(row): row for row in made}
    cuts = [known[identity] for identity in identities]
    uncut = [
        Uncut(clip_id=row["clip_id"], reason=row["reason"], message=row["message"])
        for row in cuts
        if row["reason"] is not None
    ]
    return CutClips(clips=_expand(clips, [row["pieces"] for row in cuts]), uncut=uncut, files=files)


def _cut_all(
    uris: Sequence[str],
    rows: Sequence[dict[str, Any]],
    step: KeyFramesStep,
    num_workers: int,
    on_done: Callable[[int], None],
) -> list[dict[str, Any]]:
    """A row of `CUTS` for each.

    Raises:
        EverybodysFaultError: the last `NUM_LOST` videos, or all, cannot be had for one reason that
            is none of theirs, and one that could be had cannot any more. Nothing is kept then.
    """
    made: list[dict[str, Any]] = []
    witness: int | None = None
    num_lost = 0
    with ThreadPoolExecutor(num_workers) as pool, _Cutters(step) as cutters:
        for place, row in enumerate(pool.map(cutters.cut, uris, rows)):
            made.append(row)
            on_done(1)
            if row["reason"] is None:
                witness = place
            num_lost = num_lost + 1 if _lost([row]) else 0
            if num_lost == NUM_LOST and witness is not None:
                if (reason := _lost([cutters.cut(uris[witness], rows[witness])])) is not None:
                    raise everybodys_fault(STEP, reason, num_lost, row["message"])
                num_lost = 0
    if len(made) > 1 and (reason := _lost(made)) is not None:
        raise everybodys_fault(STEP, reason, len(made), made[-1]["message"])
    return made


def _lost(rows: Sequence[dict[str, Any]]) -> str | None:
    """The one reason why none of these videos can be had, where it is none of theirs."""
    reasons = {row["reason"] for row in rows}
    reason: str | None = reasons.pop() if len(reasons) == 1 else None
    return reason if reason is not None and is_shared(STEP, reason) else None


def _prefix(step: KeyFramesStep) -> str:
    return f"{CUTS_FOLDER}/{fingerprint(step.manifest_config())}-"


def _identity(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in WHOLE)


def _read_cuts(folder: Folder, step: KeyFramesStep) -> dict[tuple[Any, ...], dict[str, Any]]:
    prefix = _prefix(step)
    tables = [
        read(fragment(folder, name, size))
        for name, size in folder.sizes_bytes(CUTS_FOLDER).items()
        if name.startswith(prefix)
    ]
    return {_identity(row): row for table in tables for row in table.to_pylist()}


def _check_directory(out: Output[StepDir], step: KeyFramesStep) -> None:
    """Refuse what opening it will refuse."""
    config = step.manifest_config()
    if (begun := out.begun()) is not None:
        check_config(begun.manifest, STEP, config, out.uri)
        return
    nothing = Manifest(step=STEP, config=config, input_fingerprint="", units={}, versions={})
    out.to_resume(nothing)


class _Cutters:
    """One isolated process per thread."""

    def __init__(self, step: KeyFramesStep) -> None:
        self._step = step
        self._mine = threading.local()
        self._all: list[IsolatedDecoder] = []

    def __enter__(self) -> _Cutters:
        return self

    def __exit__(self, *_: object) -> None:
        for function in self._all:
            function.close()

    def cut(self, uri: str, clip: dict[str, Any]) -> dict[str, Any]:
        """A row of `CUTS`; `uri` is the video's own, with what opens it."""
        if not hasattr(self._mine, "function"):
            self._mine.function = self._step.isolated(CUT, list[Span])
            self._all.append(self._mine.function)
        whole = Span(start_seconds=clip["start_seconds"], end_seconds=clip["end_seconds"])
        failure: dict[str, str | None] = {"reason": None, "message": None}
        for _ in range(self._step.work.num_attempts):
            try:
                spans: list[Span] = self._mine.function(uri, whole, self._step.cut, self._step.clip)
                return {**clip, "pieces": _pieces(spans), "reason": None, "message": None}
            except (ClipError, IsolationError) as error:
                if verdict_of(error.reason) == "rejected":
                    break
                failure = {"reason": error.reason, "message": error.message}
                if isinstance(error, IsolationError) and error.was_computing:
                    break
        return {**clip, "pieces": _pieces([whole]), **failure}


def _pieces(spans: Sequence[Span]) -> list[dict[str, float | None]]:
    return [
        {"start_seconds": span.start_seconds, "end_seconds": span.end_seconds} for span in spans
    ]


def _expand(clips: pa.Table, cuts: list[list[dict[str, float | None]]]) -> pa.Table:
    rows = [row for row, pieces in enumerate(cuts) for _ in pieces]
    table = clips.take(pa.array(rows)).combine_chunks()
    columns = {
        "clip_id": list(_cut_ids(clips["clip_id"].to_pylist(), cuts)),
        "start_seconds": [piece["start_seconds"] for pieces in cuts for piece in pieces],
        "end_seconds": [piece["end_seconds"] for pieces in cuts for piece in pieces],
        "texts": [
            texts if len(pieces) == 1 else [{**text, "trusted": False} for text in texts]
            for texts, pieces in zip(clips["texts"].to_pylist(), cuts, strict=True)
            for _ in pieces
        ],
    }
    for name, values in columns.items():
        position = table.schema.get_field_index(name)
        field = table.schema.field(position)
        table = table.set_column(position, field, pa.array(values, field.type))
    return table


def _cut_ids(clip_ids: list[str], cuts: Sequence[Sequence[Any]]) -> Iterator[str]:
    for clip_id, pieces in zip(clip_ids, cuts, strict=True):
        if len(pieces) == 1:
            yield clip_id
        else:
            yield from (f"{clip_id}-{number:04d}" for number in range(len(pieces)))
