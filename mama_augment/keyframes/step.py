"""The step `keyframes`: clips in, one row of key frames per clip out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import accumulate

import pyarrow as pa

from mama_augment.core.ledger import Reject
from mama_augment.core.manifest import Manifest, versions
from mama_augment.core.schema import CLIPS
from mama_augment.core.step import Output, Stage, Teller
from mama_augment.core.store.step_dir import StepDir
from mama_augment.decode.config import Span
from mama_augment.decode.errors import ClipError
from mama_augment.inputs.find import find_clips
from mama_augment.keyframes.config import STEP, ClipFrames, KeyFramesStep, clip_list_fingerprint
from mama_augment.keyframes.cut_step import Uncut, cut_clips
from mama_augment.runtime.isolate import IsolatedFunction, IsolationError

LEAST_UNITS = 8
"""Few clips are spread over more units than `clips_per_unit` asks for: they may be long."""
EXTRACT = "mama_augment.keyframes.extract:extract_clip"


def manifest_of(clips: pa.Table, config: KeyFramesStep) -> Manifest:
    """What the step does with a clip list (`inputs.find_clips`): its settings and its units."""
    num_clips = clips.num_rows
    size = max(1, min(config.work.clips_per_unit, math.ceil(num_clips / LEAST_UNITS)))
    starts = range(0, num_clips, size)
    return Manifest(
        step=STEP,
        config=config.manifest_config(),
        input_fingerprint=clip_list_fingerprint(clips),
        units={f"{n:06d}": min(size, num_clips - start) for n, start in enumerate(starts)},
        versions=versions("av", "numpy", "pillow", "pyarrow"),
    )


class KeyFrames:
    """The step: every clip of a clip list, cut into shorter ones first where that is asked for."""

    name = STEP
    noun = "clips"

    def __init__(
        self,
        clips: pa.Table,
        config: KeyFramesStep | None = None,
        *,
        num_cutters: int = 2,
        on_uncut: Callable[[Sequence[Uncut]], None] = lambda uncut: None,
    ) -> None:
        """clips: from `inputs.find_clips`. num_cutters: videos that are cut side by side. on_uncut:
        told of videos that stay one clip because cutting them failed."""
        self.clips = clips
        self.config = config or KeyFramesStep()
        self.num_cutters = num_cutters
        self.on_uncut = on_uncut
        self._cut = clips
        """The clips of a run: those given, or what they were cut into."""

    @classmethod
    def of(
        cls, videos: str, config: KeyFramesStep | None = None, *, video_root: str | None = None
    ) -> KeyFrames:
        """The step for what VIDEOS of the command may be: a folder, a glob, a video, a manifest.

        Raises:
            InputError: nothing is found, or the manifest is wrong.
        """
        return cls(find_clips(videos, video_root=video_root), config)

    def manifest(self, out: Output[StepDir], tell: Teller) -> Manifest:
        """See `core.step.Step`; cutting keeps the list of its clips in the output directory."""
        self._cut = self.clips
        if self.config.cut.is_on:
            with tell.progress("cut", self.clips.num_rows) as advance:
                self._cut, uncut = cut_clips(
                    out, self.clips, self.config, num_workers=self.num_cutters, on_done=advance
                )
            self.on_uncut(uncut)
        return manifest_of(self._cut, self.config)

    def stages(
        self, directory: StepDir, todo: Sequence[str], advance: Callable[[int], None]
    ) -> Iterator[Stage]:
        make_worker = partial(KeyFramesWorker, directory, self._cut, self.config)
        yield Stage(unit_ids=todo, make_worker=make_worker)

    def finish(self, directory: StepDir) -> None:
        """Nothing stands beside the units."""

    def close(self) -> None:
        """Nothing is held."""


class KeyFramesWorker:
    """Does one unit: every clip in turn, in an isolated process; commits rows and rejects."""

    def __init__(self, step_dir: StepDir, clips: pa.Table, step: KeyFramesStep) -> None:
        self._step_dir = step_dir
        self._clips = clips
        self._step = step
        units = step_dir.manifest.units
        self._first_row = dict(zip(units, accumulate(units.values(), initial=0), strict=False))
        self._extract = IsolatedFunction(EXTRACT, step.isolation())

    def run_unit(self, unit_id: str) -> int:
        num_items = self._step_dir.manifest.units[unit_id]
        clips = self._clips.slice(self._first_row[unit_id], num_items)
        before, rejects_before = self._earlier(unit_id)
        rows: list[pa.Table] = []
        rejects: list[Reject] = []
        for position, clip_id in enumerate(clips["clip_id"].to_pylist()):
            clip = clips.slice(position, 1)
            result = before.get(clip_id) or self._clip(clip, rejects_before.get(clip_id))
            if isinstance(result, Reject):
                rejects.append(result)
            else:
                rows.append(result)
        self._step_dir.commit(unit_id, self._table(rows) if rows else None, rejects)
        return num_items

    def _table(self, rows: list[pa.Table]) -> pa.Table:
        """One table whose bytes do not show how its rows came together.

        Rows of an earlier run carry the metadata of the file that they were read from.
        """
        columns = pa.concat_tables(rows).combine_chunks().columns
        return pa.Table.from_arrays(columns, schema=clips_schema(self._clips.schema))

    def _earlier(self, unit_id: str) -> tuple[dict[str, pa.Table | Reject], dict[str, Reject]]:
        """By clip: results of a committed unit that stand, and failures to try again."""
        record = self._step_dir.record(unit_id)
        if record is None or not record.num_failed:
            return {}, {}
        stands: dict[str, pa.Table | Reject] = {}
        failures: dict[str, Reject] = {}
        for reject in self._step_dir.read_rejects(record):
            (failures if reject.verdict == "failed" else stands)[reject.id] = reject
        table = self._step_dir.read_data(record)
        if table is not None:
            for position, clip_id in enumerate(table["clip_id"].to_pylist()):
                stands[clip_id] = table.slice(position, 1)
        return stands, failures

    def _clip(self, clip: pa.Table, failure: Reject | None) -> pa.Table | Reject:
        """One clip's row, or why there is none."""
        row = clip.select(["clip_id", "video_uri", "start_seconds", "end_seconds"]).to_pylist()[0]
        span = Span(start_seconds=row["start_seconds"], end_seconds=row["end_seconds"])
        num_attempts = failure.attempts if failure else 0
        for attempt in range(self._step.work.num_attempts):
            is_last = attempt + 1 == self._step.work.num_attempts
            num_attempts += 1
            try:
                found = self._extract(row["video_uri"], span, self._step.clip)
                return clip_row(clip, found)
            except (ClipError, IsolationError) as error:
                reject = Reject.of(
                    STEP,
                    error.reason,
                    id=row["clip_id"],
                    message=error.message,
                    attempts=num_attempts,
                )
                if reject.verdict == "rejected" or is_last:
                    return reject
        raise AssertionError("the last attempt returns")

    def close(self) -> None:
        self._extract.close()


def clips_schema(clip_list: pa.Schema) -> pa.Schema:
    """The clips table, then the further columns of a clip list."""
    return pa.schema([*CLIPS, *(field for field in clip_list if field.name not in CLIPS.names)])


def clip_row(clip: pa.Table, found: ClipFrames) -> pa.Table:
    """One row of the clips table: what the input gave and what was found."""
    columns = {
        **{name: clip[name] for name in clip.column_names},
        **{name: [value] for name, value in dataclasses.asdict(found).items()},
        "num_key_frames": [len(found.frames)],
    }
    schema = clips_schema(clip.schema)
    return pa.table({field.name: columns[field.name] for field in schema}, schema)
