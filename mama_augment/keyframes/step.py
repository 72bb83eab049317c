"""The step `keyframes`: clips in, one row of key frames per clip out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from mama_augment.core.breaker import Breaker
from mama_augment.core.ledger import Reject
from mama_augment.core.manifest import Manifest, fingerprint, versions
from mama_augment.core.reasons import is_shared
from mama_augment.core.safe.trust import is_untrusted
from mama_augment.core.schema import CLIP_EXTRAS, CLIPS
from mama_augment.core.step import Output, Stage, Teller
from mama_augment.core.store.same import check_config
from mama_augment.core.store.step_dir import StepDir
from mama_augment.decode.config import Span
from mama_augment.decode.errors import ClipError
from mama_augment.inputs.config import InputConfig
from mama_augment.inputs.find import find_clips, root_of
from mama_augment.keyframes.config import STEP, ClipFrames, KeyFramesStep
from mama_augment.keyframes.cut_step import Uncut, cut_clips
from mama_augment.keyframes.grow import SPAN_COLUMNS, Arranged, arrange, first_rows, stated
from mama_augment.runtime.isolate import IsolationError

NUM_PROBES = 16
"""Clips all over the list that are tried before the step is stopped for all of them."""
TRAIN_COLUMNS = ("train_frame_seconds", "train_frames")
EXTRACT = "mama_augment.keyframes.extract:extract_clip"


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
        self._arranged: Arranged | None = None
        """The clips of a run, those given or what they were cut into, in units."""
        self._cuts: Mapping[str, bytes] = {}

    @classmethod
    def of(
        cls,
        videos: str,
        config: KeyFramesStep | None = None,
        *,
        reading: InputConfig | None = None,
    ) -> KeyFrames:
        """The step for what VIDEOS of the command may be: a folder, a glob, a video, a manifest.

        Raises:
            InputError: nothing is found, or the manifest is wrong.
        """
        config, reading = config or KeyFramesStep(), reading or InputConfig()
        if is_untrusted():
            config = config.for_strangers(root_of(videos, reading.manifest.video_root))
        return cls(find_clips(videos, reading), config)

    def manifest(self, out: Output[StepDir], tell: Teller) -> Manifest:
        """See `core.step.Step`; where videos are cut is kept in the output directory.

        Raises:
            InputError: `out` holds something else, or clips that the input lacks by now.
        """
        clips = self.clips
        self._cuts = {}
        if self.config.cut.is_on:
            with tell.progress("cut", clips.num_rows) as advance:
                cut = cut_clips(
                    out, clips, self.config, num_workers=self.num_cutters, on_done=advance
                )
            self.on_uncut(cut.uncut)
            clips, self._cuts = cut.clips, cut.files
        tell.phase("arranging clips")
        config = self.config.manifest_config()
        if (there := out.begun()) is not None:
            check_config(there.manifest, STEP, config, out.uri)
        self._arranged = arrange(clips, self.config.work.clips_per_unit, there)
        return Manifest(
            step=STEP,
            config=config,
            input_fingerprint=fingerprint(list(self._arranged.digests.values())),
            units=self._arranged.units,
            versions=versions("av", "numpy", "pillow", "pyarrow"),
            digests=self._arranged.digests,
            grows=True,
            generations=self._arranged.generations,
        )

    def files(self) -> Mapping[str, bytes]:
        assert self._arranged is not None, "the manifest comes first"
        return {**self._cuts, **self._arranged.files}

    def stages(
        self, directory: StepDir, todo: Sequence[str], advance: Callable[[int], None]
    ) -> Iterator[Stage]:
        assert self._arranged is not None, "the manifest comes first"
        make_worker = partial(
            KeyFramesWorker, directory.for_workers(todo), self._arranged.clips, self.config
        )
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
        has_train_frames = step.clip.training.num_frames > 0
        self._schema = clips_schema(clips.schema, has_train_frames=has_train_frames)
        self._first_row = first_rows(step_dir.manifest.units)
        self._extract = step.isolated(EXTRACT, ClipFrames)
        self._breaker = Breaker(STEP, self._still_works)
        self._witness: pa.Table | None = None
        """The last clip that went well."""

    def run_unit(self, unit_id: str) -> int:
        num_items = self._step_dir.manifest.units[unit_id]
        clips = self._clips.slice(self._first_row[unit_id], num_items)
        earlier = Earlier.of(self._step_dir, unit_id)
        rows: list[pa.Table] = []
        rejects: list[Reject] = []
        tried: list[Reject | None] = []
        for position, clip_id in enumerate(clips["clip_id"].to_pylist()):
            clip = clips.slice(position, 1)
            if (result := earlier.result(clip)) is None:
                result = self._clip(clip, earlier.failures.get(clip_id))
                tried.append(result if isinstance(result, Reject) else None)
                self._witness = self._witness if tried[-1] else clip
            if isinstance(result, Reject):
                rejects.append(result)
            else:
                rows.append(result)
        self._step_dir.commit(unit_id, self._table(rows) if rows else None, rejects)
        left = [reject for reject in tried if reject is not None]
        sources = clips["video_uri"].to_pylist()
        example = left[-1].message if left else ""
        self._breaker.see([reject.reason for reject in left], len(tried), sources, example)
        return num_items

    def _still_works(self) -> bool:
        """Whether a clip that went well does so now; where none has, whether any of a few others
        leaves for a reason of its own, or not at all."""
        witness = self._witness if self._witness is not None else self._committed()
        if witness is not None:
            return not isinstance(self._clip(witness, None), Reject)
        places = range(0, self._clips.num_rows, max(1, self._clips.num_rows // NUM_PROBES))
        for place in places:
            found = self._clip(self._clips.slice(place, 1), None)
            if not (isinstance(found, Reject) and is_shared(STEP, found.reason)):
                return True
        return False

    def _committed(self) -> pa.Table | None:
        """A clip that another worker or an earlier run did well; None: there is none."""
        for unit_id, record in self._step_dir.reread().records().items():
            table = self._step_dir.read_data(record, ["clip_id"])
            if table is not None:
                first, number = self._first_row[unit_id], self._step_dir.manifest.units[unit_id]
                clips = self._clips.slice(first, number)
                place = pc.index(clips["clip_id"], table["clip_id"][0]).as_py()
                return clips.slice(place, 1)
        return None

    def _table(self, rows: list[pa.Table]) -> pa.Table:
        """One table whose bytes do not show how its rows came together.

        Rows of an earlier run carry the metadata of the file that they were read from.
        """
        columns = stated(pa.concat_tables(rows).combine_chunks()).columns
        return pa.Table.from_arrays(columns, schema=self._schema)

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
                return clip_row(clip, found, self._schema)
            except (ClipError, IsolationError) as error:
                reject = Reject.of(
                    STEP,
                    error.reason,
                    id=row["clip_id"],
                    message=error.message,
                    attempts=num_attempts,
                )
                in_vain = isinstance(error, IsolationError) and error.was_computing
                if reject.verdict == "rejected" or is_last or in_vain:
                    return reject
        raise AssertionError("the last attempt returns")

    def close(self) -> None:
        self._extract.close()


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """What is committed of a unit that is done again: for its failures, or because texts or other
    columns of its clips have changed."""

    rows: Mapping[str, pa.Table]
    """By clip: its row."""
    rejects: Mapping[str, Reject]
    """What stands as it is."""
    failures: Mapping[str, Reject]
    """What is tried again."""

    @classmethod
    def of(cls, step_dir: StepDir, unit_id: str) -> Earlier:
        record = step_dir.before(unit_id)
        if record is None:
            return cls(rows={}, rejects={}, failures={})
        rejects: dict[str, Reject] = {}
        failures: dict[str, Reject] = {}
        for reject in step_dir.read_rejects(record):
            is_tried = step_dir.retries and reject.verdict == "failed"
            (failures if is_tried else rejects)[reject.id] = reject
        table = step_dir.read_data(record)
        rows: dict[str, pa.Table] = {}
        if table is not None:
            ids = enumerate(table["clip_id"].to_pylist())
            rows = {clip_id: table.slice(position, 1) for position, clip_id in ids}
        return cls(rows=rows, rejects=rejects, failures=failures)

    def result(self, clip: pa.Table) -> pa.Table | Reject | None:
        """What stands of a clip: its pictures, with what the input says of it now."""
        clip_id = clip["clip_id"][0].as_py()
        row = self.rows.get(clip_id)
        if row is None:
            return self.rejects.get(clip_id)
        now = stated(clip.select(SPAN_COLUMNS)).to_pylist()
        if row.select(SPAN_COLUMNS).to_pylist() != now:
            return None  # pictures of another span: somebody else began this directory
        is_trained_on = TRAIN_COLUMNS[0] in row.column_names
        schema = clips_schema(clip.schema, has_train_frames=is_trained_on)
        columns = {
            name: (clip if name in clip.column_names else row)[name] for name in schema.names
        }
        return pa.table(columns, schema)


def clips_schema(clip_list: pa.Schema, *, has_train_frames: bool) -> pa.Schema:
    """The clips table, frames to train on, then the further columns of a clip list."""
    train = [CLIP_EXTRAS.field(name) for name in TRAIN_COLUMNS] if has_train_frames else []
    others = (field for field in clip_list if field.name not in CLIPS.names)
    return pa.schema([*CLIPS, *train, *others])


def clip_row(clip: pa.Table, found: ClipFrames, schema: pa.Schema) -> pa.Table:
    """One row of the clips table: what the input gave and what was found."""
    columns = {
        **{name: clip[name] for name in clip.column_names},
        **{name: [value] for name, value in dataclasses.asdict(found).items()},
        "num_key_frames": [len(found.frames)],
    }
    return pa.table({field.name: columns[field.name] for field in schema}, schema)
