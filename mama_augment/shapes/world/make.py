"""Make a shapes world: H.264 videos, a manifest with the truth beside it, and a vocabulary.

Every video and row is a hash of (seed, split, index) alone: it depends neither on how many others
there are nor on how many workers make them.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from mama_augment.core.draws import Draws
from mama_augment.core.errors import InputError
from mama_augment.shapes.world.config import CLEAN_SPLITS, WorldConfig
from mama_augment.shapes.world.encode import draw_coding, write_h264
from mama_augment.shapes.world.human import human_caption, plain_caption
from mama_augment.shapes.world.render import render_clip
from mama_augment.shapes.world.sampling import SPACES, clean_scene, train_scene
from mama_augment.shapes.world.scene import Scene, is_held_out
from mama_augment.shapes.world.take import FPS, draw_take, plain_take

MIN_VIDEOS_PER_WORKER = 16
"""Below that, starting a process costs more than it saves."""


@dataclass(frozen=True, kw_only=True)
class World:
    """What `make_world` made, and where."""

    manifest: Path
    vocabulary: Path
    num_by_split: dict[str, int]
    num_misaligned: int
    num_concepts: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Member:
    """One video of a world."""

    split: str
    index: int
    scene: Scene
    described: Scene
    """What its text describes: `scene`, or another one where the text is misaligned."""

    @property
    def clip_id(self) -> str:
        """Split and number, also the file's stem."""
        return f"{self.split}-{self.index:05d}"


def world_members(config: WorldConfig) -> Iterator[Member]:
    """Every video of the world: train, then meta, val and test."""
    for index in range(config.num_videos):
        yield train_member(config, index)
    for split in CLEAN_SPLITS:
        for index in range(config.num_in(split)):
            scene = clean_scene(config.seed, split, index, SPACES[config.scenes])
            yield Member(split=split, index=index, scene=scene, described=scene)


def train_member(config: WorldConfig, index: int) -> Member:
    """Train video `index`; at the noise rate its text is that of another scene, drawn from the
    same Zipf distribution, so that noise favours frequent concepts as it does on the web.
    """
    draw = partial(train_scene, config.seed, index, config.zipf_exponent, SPACES[config.scenes])
    scene = described = draw()
    if Draws((config.seed, "train", index)).unit("misaligned?") < config.noise_rate:
        attempt = 0
        while described == scene:
            described = draw(f"misaligned {attempt}")
            attempt += 1
    return Member(split="train", index=index, scene=scene, described=described)


def manifest_row(config: WorldConfig, member: Member) -> dict[str, str]:
    """The manifest's row: what a pipeline may know, then the truth."""
    scene, draws = member.scene, Draws((config.seed, member.split, member.index, "text"))
    told = member.described
    return {
        "video": f"videos/{member.clip_id}.mp4",
        "clip_id": member.clip_id,
        "text": plain_caption(told) if config.scenes == "few" else human_caption(told, draws),
        "source": "human",
        "trusted": _flag(member.split != "train"),
        "split": member.split,
        "true_caption": scene.caption,
        "concept": scene.concept,
        "colour": scene.colour,
        "shape": scene.shape,
        "first_motion": scene.first_motion,
        "second_motion": scene.second_motion,
        "misaligned": _flag(member.described != scene),
        "held_out": _flag(is_held_out(scene)),
    }


def _flag(value: bool) -> str:
    return "true" if value else "false"


def write_member(directory: Path, config: WorldConfig, member: Member) -> str:
    """Film, compress and write one video; return its clip_id."""
    draws = Draws((config.seed, member.split, member.index, "video"))
    take = {"many": draw_take, "few": plain_take}[config.scenes](member.scene, draws)
    with (directory / f"{member.clip_id}.mp4").open("wb") as file:
        write_h264(file, render_clip(take), draw_coding(draws), fps=FPS)
    return member.clip_id


def make_world(
    out_dir: str | Path,
    config: WorldConfig,
    *,
    num_workers: int = 2,
    on_video: Callable[[int, int], None] | None = None,
) -> World:
    """Write `out_dir`/videos/*.mp4, manifest.csv (last), vocabulary.txt and world.json.

    `on_video(done, total)` is called after every video. The same config writes the same bytes;
    a directory that holds another world is refused (`InputError`).
    """
    started = time.perf_counter()
    out = Path(out_dir)
    claim(out, asdict(config))
    members = list(world_members(config))
    side_by_side(partial(write_member, out / "videos", config), members, num_workers, on_video)
    vocabulary = out / "vocabulary.txt"
    vocabulary.write_text("".join(f"{concept}\n" for concept in SPACES[config.scenes].concepts))
    rows = [manifest_row(config, member) for member in members]
    with (out / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return World(
        manifest=out / "manifest.csv",
        vocabulary=vocabulary,
        num_by_split={split: config.num_in(split) for split in ("train", *CLEAN_SPLITS)},
        num_misaligned=sum(member.described != member.scene for member in members),
        num_concepts=len({member.scene.concept for member in members}),
        seconds=time.perf_counter() - started,
    )


def side_by_side(
    write: Callable[[Any], str],
    members: Sequence[Any],
    num_workers: int,
    on_video: Callable[[int, int], None] | None,
) -> None:
    """Write every video, in several processes where there are many."""
    with ExitStack() as stack:
        if num_workers > 1 and len(members) >= MIN_VIDEOS_PER_WORKER * num_workers:
            workers = ProcessPoolExecutor(num_workers, mp_context=get_context("spawn"))
            written = stack.enter_context(workers).map(write, members, chunksize=8)
        else:
            written = map(write, members)
        for done, _ in enumerate(written, start=1):
            if on_video is not None:
                on_video(done, len(members))


def claim(out: Path, wanted: dict[str, Any]) -> None:
    """Make the directory that of these settings, or refuse."""
    header = out / "world.json"
    if header.exists():
        found = json.loads(header.read_text())
        if found != wanted:
            raise InputError(
                f"{out} holds another world ({found}): choose another directory or delete it"
            )
    elif out.exists() and any(out.iterdir()):
        raise InputError(f"{out} is not empty and holds no shapes world: choose another directory")
    (out / "videos").mkdir(parents=True, exist_ok=True)
    header.write_text(json.dumps(wanted, indent=2) + "\n")
