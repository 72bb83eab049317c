"""Make the world: videos, and a manifest with questions, the truth about answers, and true boxes.

Every video and row is a hash of (seed, split, number) alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mama_augment.core.draws import Draws
from mama_augment.core.schema import QUESTION, SPLITS
from mama_augment.shapes.plain.config import PlainConfig
from mama_augment.shapes.questions.ask import NUMBERS, Asked, answers_alike, questions_of
from mama_augment.shapes.questions.film import film
from mama_augment.shapes.world.encode import Coding, write_h264
from mama_augment.shapes.world.make import claim, side_by_side
from mama_augment.shapes.world.sampling import dealt
from mama_augment.shapes.world.scene import FEW_CONCEPTS, MOTION_PAIRS, Scene
from mama_augment.shapes.world.take import FPS

CODING = Coding(crf=20, gop_frames=24, num_b_frames=0)
BOX = pa.struct(
    [("label", pa.string()), *((name, pa.float32()) for name in ("x1", "y1", "x2", "y2"))]
)
IN_FRAME = pa.struct([("seconds", pa.float64()), ("regions", pa.list_(BOX))])
MANIFEST = pa.schema(
    [
        ("video", pa.string()),
        ("clip_id", pa.string()),
        ("split", pa.string()),
        ("text", pa.string()),
        ("source", pa.string()),
        ("trusted", pa.bool_()),
        ("questions", pa.list_(QUESTION)),
        (
            "true_regions",
            pa.list_(pa.struct([("seconds", pa.float64()), ("regions", pa.list_(BOX))])),
        ),
    ]
)


@dataclass(frozen=True, kw_only=True)
class QuestionsWorld:
    """What was made."""

    manifest: Path
    num_by_split: dict[str, int]
    num_questions: int
    num_wrong: int
    seconds: float


def make_questions_world(
    out_dir: str | Path,
    config: PlainConfig,
    *,
    num_workers: int = 2,
    on_video: Callable[[int, int], None] | None = None,
) -> QuestionsWorld:
    """Write `out_dir`/videos/*.mp4, manifest.parquet (last) and world.json; see `world.make`."""
    started = time.perf_counter()
    out = Path(out_dir)
    claim(out, {"kind": "questions", **vars(config)})
    members = list(members_of(config))
    write = partial(write_video, out / "videos", config)
    side_by_side(write, members, num_workers, on_video)
    rows = [manifest_row(config, *member) for member in members]
    pq.write_table(pa.Table.from_pylist(rows, MANIFEST), out / "manifest.parquet")
    told = [question["is_aligned"] for row in rows for question in row["questions"]]
    return QuestionsWorld(
        manifest=out / "manifest.parquet",
        num_by_split={split: config.num_in(split) for split in SPLITS},
        num_questions=len(told),
        num_wrong=told.count(False),
        seconds=time.perf_counter() - started,
    )


def members_of(config: PlainConfig) -> Iterator[tuple[str, int]]:
    """(split, number) of every clip."""
    for split in SPLITS:
        for number in range(config.num_in(split)):
            yield split, number


def scene_of(config: PlainConfig, split: str, number: int, name: str = "scene") -> Asked:
    """What a clip shows; `name` tells independent draws of train scenes apart.

    In train, concepts follow Zipf's law; elsewhere they take turns, and so do the motions that the
    split has of each. Dots are drawn evenly.
    """
    draws = Draws((config.seed, "questions", split, number, name))
    num, dealt_CM = config.num_concepts, _dealt(config.seed, config.num_concepts, split)
    if split == "train":
        shares = np.arange(1, num + 1, dtype=np.float64) ** -config.zipf_exponent
        rank = int(np.searchsorted(np.cumsum(shares / shares.sum()), draws.unit("rank")))
        ranked = Draws((config.seed, "ranks")).shuffled("concepts", range(num))
        concept = ranked[min(rank, num - 1)]
        motion = dealt_CM[concept, draws.integer("motions", 0, dealt_CM.shape[1] - 1)]
    else:
        concept = number % num
        motion = dealt_CM[concept, number // num % dealt_CM.shape[1]]
    (colour, shape), (first, second) = FEW_CONCEPTS[concept].split(), MOTION_PAIRS[int(motion)]
    scene = Scene(colour=colour, shape=shape, first_motion=first, second_motion=second)
    return Asked(scene=scene, num_dots=draws.integer("dots", 0, len(NUMBERS) - 1))


@lru_cache(maxsize=16)
def _dealt(seed: int, num_concepts: int, split: str) -> np.ndarray:
    """Motions of each concept that a split has."""
    return np.array([dealt(seed, concept, split) for concept in FEW_CONCEPTS[:num_concepts]])


def write_video(folder: Path, config: PlainConfig, member: tuple[str, int]) -> str:
    """Film and compress one video; returns its clip_id."""
    split, number = member
    made = film(scene_of(config, split, number), _film_draws(config, split, number))
    with (folder / f"{_clip_id(split, number)}.mp4").open("wb") as file:
        write_h264(file, made.frames(), CODING, fps=FPS)
    return _clip_id(split, number)


def manifest_row(
    config: PlainConfig, split: str, number: int, *, boxes: bool = True
) -> dict[str, Any]:
    """A clip's caption, which is right, its questions, and on request where everything is."""
    asked = scene_of(config, split, number)
    draws = Draws((config.seed, "questions", split, number, "noise"))

    def other(kind: str) -> Asked:
        """At the noise rate another scene, drawn as train scenes are, with another answer."""
        if split != "train" or draws.unit(f"wrong {kind}?") >= config.noise_rate:
            return asked
        attempt = 0
        while True:
            told = scene_of(config, split, number, f"{kind} {attempt}")
            if not answers_alike(kind, told, asked):
                return told
            attempt += 1

    is_clean = split != "train"
    film_draws = _film_draws(config, split, number)
    concepts = FEW_CONCEPTS[: config.num_concepts]
    draws_of_options = Draws((config.seed, "options", split, number))
    questions = questions_of(asked, other, draws_of_options, concepts)
    return {
        "video": f"videos/{_clip_id(split, number)}.mp4",
        "clip_id": _clip_id(split, number),
        "split": split,
        "text": asked.scene.caption,
        "source": "human",
        "trusted": is_clean,
        "questions": [{**question, "trusted": is_clean} for question in questions],
        "true_regions": film(asked, film_draws).boxes() if boxes else None,
    }


def _film_draws(config: PlainConfig, split: str, number: int) -> Draws:
    return Draws((config.seed, "questions", split, number, "film"))


def _clip_id(split: str, number: int) -> str:
    return f"{split}-{number:05d}"
