"""The command `keyframes`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mama_augment.cli.running import RunConfig, finish, run_step
from mama_augment.core.fields import option
from mama_augment.core.safe.trust import is_untrusted
from mama_augment.core.shared import say
from mama_augment.inputs.config import InputConfig
from mama_augment.keyframes.config import KeyFramesStep, threads_per_worker
from mama_augment.runtime import RuntimeConfig
from mama_augment.runtime.room import lacking

if TYPE_CHECKING:
    import pyarrow as pa

    from mama_augment.core.store.step_dir import StepDir
    from mama_augment.inputs.table.notes import Notes
    from mama_augment.keyframes.cut_step import Uncut

RUNS = "How it runs"
UNCUT_EXAMPLES = 3
MOST_UNITS = 10_000
"""Of which flags are counted: that reads a little of every unit."""


@dataclass(frozen=True, kw_only=True)
class KeyframesCommand:
    """Choose the key frames of every clip: VIDEOS in, one Parquet row of JPEGs per clip out."""

    videos: str = field(metadata=option(positional=True))
    """A folder, a quoted glob, a video, or a manifest (csv, tsv, json, jsonl, parquet) with a
    column `video` and, optionally, clip_id, start_seconds, end_seconds, text, source, trusted,
    split. A path, or a URI such as s3://bucket/folder."""
    out: str
    """Output directory or URI."""
    step: KeyFramesStep
    reading: InputConfig = field(metadata=option(panel="What is read"))
    decode_threads: int | None = field(default=None, metadata=option(panel=RUNS))
    """Threads per decoder; by default, the processors that the workers leave over."""
    runtime: RuntimeConfig = field(metadata=option(panel=RUNS))
    run: RunConfig = field(metadata=option(panel=RUNS))

    def __call__(self) -> int:
        from mama_augment.core.store.step_dir import StepDir
        from mama_augment.inputs.find import find_clips, root_of
        from mama_augment.inputs.table.notes import Notes
        from mama_augment.keyframes.step import KeyFrames

        num_workers = self.runtime.num_workers
        threads = self.decode_threads
        limits = dataclasses.replace(
            self.step.clip.limits,
            num_threads=threads_per_worker(num_workers) if threads is None else threads,
        )
        clip = dataclasses.replace(self.step.clip, limits=limits)
        config = dataclasses.replace(self.step, clip=clip)
        if is_untrusted():
            config = config.for_strangers(root_of(self.videos, self.reading.manifest.video_root))
            if lack := lacking():
                say.tell(
                    "decoding is not kept from the network and from other programs here "
                    f"({lack}); install libseccomp",
                    "warning",
                )
        notes = Notes()
        clips = find_clips(self.videos, self.reading, notes)
        read = show_input(clips, notes)
        step = KeyFrames(clips, config, num_cutters=num_workers, on_uncut=show_uncut)
        outcome = run_step(step, self.out, self.runtime, self.run)
        flags = show_flags(StepDir.open(self.out, step="keyframes"))
        return finish(outcome, self.out, input=read, flags=flags)


def show_flags(step_dir: StepDir, most_units: int = MOST_UNITS) -> dict[str, int] | None:
    """How many clips have which flag; None where that would be too much to read, or
    to ask a store for."""
    from mama_augment.keyframes.near import COLUMNS, count_flags

    if len(step_dir.manifest.units) > most_units or not step_dir.folder.is_local:
        say.say("flags of clips: `mama-augment inspect` counts them")
        return None
    flags = count_flags(step_dir.tables(COLUMNS))
    if flags:
        found = ", ".join(f"{number:,} {name}" for name, number in flags.items())
        say.say(f"flags of clips: {found}; `plan` and `caption` leave them out by --skip-flags")
    return flags


def show_input(clips: pa.Table, notes: Notes) -> dict[str, Any]:
    """What VIDEOS holds, what of it is left out, and what else is to be said; for scripts, too."""
    from mama_augment.inputs.table.notes import listed
    from mama_augment.inputs.texts import count_texts

    num_texts, num_without = count_texts(clips)
    without = f"; {_number(num_without, 'clip')} without one" if num_texts and num_without else ""
    say.say(f"input: {_number(clips.num_rows, 'clip')}, {_number(num_texts, 'text')}{without}")
    if notes.left_out:
        say.say(f"left out of the input: {listed(notes.left_out)}")
    if notes.num_mended:
        say.tell(
            f"{_number(notes.num_mended, 'row')} held half a character, which is U+FFFD now (�)",
            "note",
        )
    for remark in notes.remarks:
        say.tell(remark, "note")
    return {
        "clips": clips.num_rows,
        "texts": num_texts,
        "clips_without_text": num_without,
        "left_out": dict(notes.left_out),
        "mended": notes.num_mended,
        "notes": notes.remarks,
    }


def _number(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def show_uncut(uncut: Sequence[Uncut]) -> None:
    """Videos that stay one clip because cutting them failed, and what to do."""
    if not uncut:
        return
    named = "; ".join(f"{u.clip_id} ({u.reason}: {u.message})" for u in uncut[:UNCUT_EXAMPLES])
    more = "; …" if len(uncut) > UNCUT_EXAMPLES else ""
    say.tell(
        f"{len(uncut):,} of the videos could not be cut and stay one clip each: {named}{more}. "
        "Fix the cause (the file, --time-limit-seconds, --memory-limit-mb) and run with "
        "--overwrite, which cuts anew; --retry-failed keeps them whole",
        "not cut",
    )
