"""Clips to look at: for each concept, rarest first, a grid of key frames and its captions."""

from __future__ import annotations

import base64
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mama_augment.caption.input.grid import compose_grid, even_indices
from mama_augment.core.draws import draw_bits
from mama_augment.core.schema import is_generated
from mama_augment.core.shared.jpeg import BrokenFrameError, Image, decode_jpeg
from mama_augment.core.store.committed import CommittedUnit
from mama_augment.core.store.several import StepDirs
from mama_augment.core.store.step_dir import StepDir

NUM_CONCEPTS = 12
DOUBTFUL_SHARE = 0.1
GRID_ROWS, GRID_COLUMNS = 3, 4
JPEG_QUALITY = 82


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One training clip as it reached the shards."""

    clip_id: str
    file: str
    """The video's name, without its folder."""
    concept: str
    num_visits: int
    """Visits of the concept per epoch."""
    grid_uri: str
    """data: URI of a JPEG; empty when no frame decodes."""
    num_frames: int
    given: tuple[str, ...]
    generated: tuple[str, ...]
    doubtful: tuple[str, ...] = ()
    """Texts of these that agree less with their clips than nine tenths of the training texts."""


def pick_samples(
    shards_dir: StepDir, clips: StepDirs, concepts: Sequence[Mapping[str, Any]]
) -> list[Sample]:
    """One clip for each of the rarest concepts that training visits, in the shuffle's order.

    A clip with both a given and a generated text is preferred: they can be compared.
    """
    wanted = [
        c for c in sorted(concepts, key=lambda c: (c["num_after"], c["id"])) if c["num_after"]
    ]
    agreements = array("f")
    chosen = _choose(shards_dir, [c["id"] for c in wanted[:NUM_CONCEPTS]], agreements)
    least = np.quantile(agreements, DOUBTFUL_SHARE) if agreements else -np.inf
    ids = {row["clip_id"] for row in chosen.values()}
    frames, videos = frames_of(shards_dir.units(), ids), videos_of(clips, ids)
    samples = []
    for concept in wanted[:NUM_CONCEPTS]:
        row = chosen[concept["id"]]
        texts = [(c["text"], is_generated(c["source"])) for c in row["captions"]]
        low = (c["text"] for c in row["captions"] if _agreement(c) < least)
        samples.append(
            Sample(
                clip_id=row["clip_id"],
                file=videos.get(row["clip_id"], ""),
                concept=concept["name"],
                num_visits=concept["num_after"],
                grid_uri=grid_uri(frames[row["clip_id"]]),
                num_frames=len(frames[row["clip_id"]]),
                given=tuple(text for text, generated in texts if not generated),
                generated=tuple(text for text, generated in texts if generated),
                doubtful=tuple(low),
            )
        )
    return samples


def _agreement(caption: Mapping[str, Any]) -> float:
    """Infinite for one that was not scored: it cannot be doubted."""
    found = caption.get("agreement")
    return np.inf if found is None else float(found)


def _choose(
    shards_dir: StepDir, concept_ids: Sequence[int], agreements: array[float]
) -> dict[int, dict[str, Any]]:
    """For each concept a row (without pixels) that has it; no clip twice where avoidable.

    agreements: those of all training captions are added.
    """
    best: dict[int, list[tuple[tuple[int, int], dict[str, Any]]]] = {i: [] for i in concept_ids}
    for table in shards_dir.tables(["split", "clip_id", "captions"]):
        if not table.num_rows or table["split"][0].as_py() != "train":
            continue
        for row in table.to_pylist():
            scores = (caption.get("agreement") for caption in row["captions"])
            agreements.extend(score for score in scores if score is not None)
            kinds = {is_generated(caption["source"]) for caption in row["captions"]}
            rank = (-len(kinds), draw_bits(0, "sample", row["clip_id"]))
            here = {i for caption in row["captions"] for i in caption["concept_ids"]}
            for concept_id in here & best.keys():
                ranked = sorted([*best[concept_id], (rank, row)], key=lambda pair: pair[0])
                # With as many candidates as concepts, one is always unused.
                best[concept_id] = ranked[: len(concept_ids)]
    chosen: dict[int, dict[str, Any]] = {}
    used: set[str] = set()
    for concept_id in concept_ids:
        rows = [row for _, row in best[concept_id]]
        unused = [row for row in rows if row["clip_id"] not in used]
        chosen[concept_id] = (unused or rows)[0]
        used.add(chosen[concept_id]["clip_id"])
    return chosen


def videos_of(clips: StepDirs, clip_ids: set[str]) -> dict[str, str]:
    """The names of the videos of a few clips, without their folders."""
    wanted = pa.array(sorted(clip_ids), pa.string())
    found: dict[str, str] = {}
    for table in clips.tables(["clip_id", "video_uri"]) if clip_ids else ():
        rows = table.filter(pc.is_in(table["clip_id"], wanted)).to_pylist()
        found |= {row["clip_id"]: row["video_uri"].rsplit("/", 1)[-1] for row in rows}
    return found


def frames_of(units: Iterable[CommittedUnit], clip_ids: set[str]) -> dict[str, list[bytes]]:
    """The JPEGs of a few clips; only units that hold one are read in full."""
    found: dict[str, list[bytes]] = {}
    for unit in units if clip_ids else ():
        ids = unit.table(["clip_id"])["clip_id"].to_pylist()
        if not clip_ids & set(ids):
            continue
        table = unit.table(["clip_id", "frames"])
        for i, clip_id in enumerate(ids):
            if clip_id in clip_ids:
                found[clip_id] = table["frames"][i].as_py()
    return found


def grid_uri(frames: Sequence[bytes]) -> str:
    """The frames of a clip as one JPEG in a data: URI."""
    picked = [frames[i] for i in even_indices(len(frames), GRID_ROWS * GRID_COLUMNS)]
    images = [image for data in picked if (image := _decoded(data)) is not None]
    if not images:
        return ""
    height, width = images[0].shape[:2]
    # Cells of the frames' own shape, so that no cell has black bars.
    cell = (160, max(1, round(160 * height / width)))
    rows = -(-len(images) // GRID_COLUMNS)
    columns = min(len(images), GRID_COLUMNS)
    grid = compose_grid(images, rows, columns, (cell[0] * columns, cell[1] * rows))
    ok, data = cv2.imencode(
        ".jpg", cv2.cvtColor(grid, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )
    assert ok
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def _decoded(data: bytes) -> Image | None:
    """The pixels, or None: `validate` names broken frames, a report still shows the rest."""
    try:
        return decode_jpeg(data)
    except BrokenFrameError:
        return None
