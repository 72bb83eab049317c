"""Is this a training set that a trainer can trust? Checks shards from their files alone."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from mama_augment.core.draws import draw_bits, draw_unit
from mama_augment.core.errors import DamagedError, InputError
from mama_augment.core.schema import SPLITS, shards_like
from mama_augment.core.shared.jpeg import BrokenFrameError, decode_jpeg
from mama_augment.core.store.audit import UNREADABLE, audit, pending_reasons
from mama_augment.core.store.committed import CommittedUnit, in_order
from mama_augment.core.store.several import StepDirs
from mama_augment.core.store.sidecars import CONCEPTS_NAME, STATS_NAME, read_sidecar
from mama_augment.core.store.step_dir import StepDir

MAX_PROBLEMS = 20


@dataclass(kw_only=True)
class Validation:
    """What was checked and what is wrong; every problem names its row or file."""

    num_rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    num_captions: int = 0
    num_decoded_frames: int = 0
    problems: list[str] = field(default_factory=list)
    num_problems: int = 0

    def add(self, problem: str) -> None:
        if problem in self.problems:
            return
        self.num_problems += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)


def validate(
    shards: str, *, clips: str | Sequence[str] | None = None, num_decoded: int = 200
) -> Validation:
    """Check accounting, hashes, schema, rows, pictures and that splits share nothing.

    Args:
        clips: the clips directories that the shards were made from, one or more; with them, splits
            are compared by video, without them by clip.
        num_decoded: about how many rows have all their frames decoded, drawn by hash.

    Raises:
        InputError: `shards` is not the output of `balance`, or `num_decoded` is below 0.
    """
    if num_decoded < 0:
        raise InputError(f"--num-decoded is {num_decoded}; allowed: 0 (none) or more rows")
    result = Validation()
    try:
        step_dir = StepDir.open(shards, step="balance")
    except DamagedError as error:
        result.add(str(error))
        return result
    for problem in (*audit(step_dir, deep=True).problems, *pending_reasons(step_dir)):
        result.add(problem)
    num_concepts = _check_sidecars(step_dir, result)
    share = num_decoded / max(1, sum(unit.num_rows for unit in step_dir.units()))
    keys, splits = array("Q"), array("b")
    for name, table in _tables(step_dir, result):
        _check_split(name, table, result)
        has_frames = "frames" in table.column_names
        wanted = {"split", "clip_id", "frame_seconds", "captions", "questions"}
        columns = [column for column in table.column_names if column in wanted]
        for i, row in enumerate(table.select(columns).to_pylist()):
            where = f"{name} row {i} (clip {row['clip_id']})"
            keys.append(draw_bits(0, row["clip_id"]))
            splits.append(SPLITS.index(row["split"]) if row["split"] in SPLITS else -1)
            _check_row(where, row, num_concepts, result)
            _check_questions(where, row, result)
            if not has_frames:
                continue
            _check_times(where, row, len(table["frames"][i]), result)
            if draw_unit(0, "decode", row["clip_id"]) < share:
                check_frames(where, table["frames"][i].as_py(), result)
    clips_dirs = StepDirs.open(clips, step="keyframes") if clips else None
    _check_disjoint(
        step_dir, clips_dirs, np.array(keys, np.uint64), np.array(splits, np.int8), result
    )
    return result


def _check_sidecars(step_dir: StepDir, result: Validation) -> int | None:
    """The number of concepts, or None where concepts.json does not say it."""
    num_concepts: int | None = None
    for name in (CONCEPTS_NAME, STATS_NAME):
        try:
            content = read_sidecar(step_dir.folder, name)
        except InputError as error:
            result.add(str(error))
            continue
        if name == CONCEPTS_NAME:
            num_concepts = len(content)
    return num_concepts


def _tables(step_dir: StepDir, result: Validation) -> Iterator[tuple[str, pa.Table]]:
    for unit in step_dir.units():
        try:
            table = unit.table()
        except UNREADABLE as error:
            result.add(f"{unit.name}: not readable as Parquet ({error})")
            continue
        expected = shards_like(table.schema)
        if table.schema.equals(expected):
            yield unit.name, table
        else:
            wrong = {f.name for f in expected} ^ set(table.schema.names)
            what = f"columns {sorted(wrong)}" if wrong else "types of columns"
            result.add(f"{unit.name}: {what} differ from the schema of shards")


def _check_split(name: str, table: pa.Table, result: Validation) -> None:
    folder = name.split("/")[0]
    splits = table["split"].to_pylist()
    for split in sorted(set(splits) - {folder}):
        result.add(
            f"{name} row {splits.index(split)}: its split is {split!r}, its folder is {folder!r} "
            f"({splits.count(split):,} such rows)"
        )
    if folder in result.num_rows:
        result.num_rows[folder] += table.num_rows


def _check_times(where: str, row: dict[str, Any], num_frames: int, result: Validation) -> None:
    if not num_frames or num_frames != len(row["frame_seconds"]):
        result.add(f"{where}: {num_frames} frames, {len(row['frame_seconds'])} times")
    if any(b <= a for a, b in zip(row["frame_seconds"], row["frame_seconds"][1:], strict=False)):
        result.add(f"{where}: its frame_seconds are not ascending")


def _check_row(
    where: str, row: dict[str, Any], num_concepts: int | None, result: Validation
) -> None:
    result.num_captions += len(row["captions"])
    if not row["captions"] and not row.get("questions"):
        result.add(f"{where}: no caption, and no question")
    for number, caption in enumerate(row["captions"]):
        text = f"{where}, caption {number}"
        if not caption["text"].strip():
            result.add(f"{text}: blank")
        if not 0 < caption["keep_probability"] <= 1:
            result.add(f"{text}: keep_probability is {caption['keep_probability']}")
        if row["split"] != "train" and not caption["trusted"]:
            result.add(f"{text}: not trusted, in the {row['split']} split")
        if num_concepts is not None and not all(
            0 <= i < num_concepts for i in caption["concept_ids"]
        ):
            result.add(f"{text}: concept_ids {caption['concept_ids']} of {num_concepts} concepts")


def _check_questions(where: str, row: dict[str, Any], result: Validation) -> None:
    for question in row.get("questions") or ():
        text = f"{where}, question {question['question_id']}"
        options, index = question["options"] or [], question["answer_index"]
        if index is not None and not 0 <= index < len(options):
            result.add(f"{text}: answer_index is {index}, of {len(options)} options")
        if row["split"] != "train" and not question["trusted"]:
            result.add(f"{text}: not trusted, in the {row['split']} split")


def check_frames(where: str, frames: Sequence[bytes], result: Validation) -> None:
    for number, data in enumerate(frames):
        try:
            decode_jpeg(data)
        except BrokenFrameError as error:
            result.add(f"{where}: frame {number} is {error}")
        else:
            result.num_decoded_frames += 1


def _check_disjoint(
    step_dir: StepDir,
    clips: StepDirs | None,
    keys: np.ndarray,
    splits: np.ndarray,
    result: Validation,
) -> None:
    """No clip in two rows; with the clips tables, no video in two splits."""
    order = np.argsort(keys, kind="stable")
    repeated = set(keys[order][1:][keys[order][1:] == keys[order][:-1]].tolist())
    if repeated:
        for name, table in _tables(step_dir, Validation()):
            for i, clip_id in enumerate(table["clip_id"].to_pylist()):
                if draw_bits(0, clip_id) in repeated:
                    result.add(f"{name} row {i}: clip {clip_id} has more than one row")
    if clips is not None:
        split_of = dict(zip(keys.tolist(), splits.tolist(), strict=True))
        _check_videos(step_dir, clips, split_of, result)


def _check_videos(
    step_dir: StepDir, clips: StepDirs, split_of: dict[int, int], result: Validation
) -> None:
    """No video in two splits; every clip of the shards is in the clips tables."""
    unknown = set(split_of)
    split_of_video: dict[str, tuple[int, str]] = {}
    for row in _clip_rows(clips, result):
        key = draw_bits(0, row["clip_id"])
        if (split := split_of.get(key)) is None:
            continue
        unknown.discard(key)
        first, clip_id = split_of_video.setdefault(row["video_uri"], (split, row["clip_id"]))
        if first != split:
            result.add(
                f"video {row['video_uri']} is in {SPLITS[first]} (clip {clip_id}) and in "
                f"{SPLITS[split]} (clip {row['clip_id']})"
            )
    for name, table in _tables(step_dir, Validation()) if unknown else ():
        for i, clip_id in enumerate(table["clip_id"].to_pylist()):
            if draw_bits(0, clip_id) in unknown:
                result.add(f"{name} row {i}: clip {clip_id} is not in {clips.uri}")


def _clip_rows(clips: StepDirs, result: Validation) -> Iterator[dict[str, Any]]:
    """clip_id and video_uri of every clip; what cannot be read is named."""
    for clips_dir in clips.dirs:
        uri = clips_dir.folder.uri
        for problem in pending_reasons(clips_dir):
            result.add(f"{uri}: {problem}")
        for unit, table in in_order(clips_dir.units(), _ids_of):
            if isinstance(table, str):
                result.add(f"{uri}/{unit.name}: not readable ({table})")
            else:
                yield from table.to_pylist()


def _ids_of(unit: CommittedUnit) -> tuple[CommittedUnit, pa.Table | str]:
    """A unit's ids, or why it cannot be read."""
    try:
        return unit, unit.table(["clip_id", "video_uri"])
    except UNREADABLE as error:
        return unit, str(error)
