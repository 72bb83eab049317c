"""The numbers of a report, read from the steps' own files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from mama_augment.core.ledger import Ledger
from mama_augment.core.schema import SPLITS
from mama_augment.core.store.audit import audit
from mama_augment.core.store.rejects import ReasonCount, count_reasons
from mama_augment.core.store.sidecars import CONCEPTS_NAME, STATS_NAME, read_sidecar
from mama_augment.core.store.step_dir import StepDir
from mama_augment.people.report.origin import check_origin


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a run of the captioner took, in tokens."""

    uri: str
    model: str
    prompt_name: str
    num_captions: int
    num_prompt_tokens: int
    num_output_tokens: int


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything countable that a report shows."""

    clips_dir: StepDir
    captions_dirs: tuple[StepDir, ...]
    shards_dir: StepDir
    ledgers: tuple[tuple[str, Ledger], ...]
    """(directory, ledger) of each step, in order."""
    reasons: tuple[ReasonCount, ...]
    costs: tuple[Cost, ...]
    num_videos: int
    num_given_texts: int
    stats: dict[str, Any]
    concepts: list[dict[str, Any]]

    @property
    def clip_funnel(self) -> list[tuple[str, int]]:
        clips = self.ledgers[0][1]
        rows = sum(self.stats["splits"][split]["num_rows"] for split in SPLITS)
        return [
            ("videos with key frames", self.num_videos),
            ("clips in", clips.num_in),
            ("clips with key frames", clips.num_ok),
            ("clips in the shards", rows),
        ]

    @property
    def text_funnel(self) -> list[tuple[str, int]]:
        captions = [ledger for _, ledger in self.ledgers if ledger.step == "caption"]
        shards = self.ledgers[-1][1]
        return [
            ("texts that came with the videos", self.num_given_texts),
            ("captions asked of the model", sum(ledger.num_in for ledger in captions)),
            ("captions accepted", sum(ledger.num_ok for ledger in captions)),
            ("texts and captions in the shards", shards.num_ok),
        ]


def collect(clips: str, captions: Sequence[str], shards: str) -> Facts:
    """Read every step's ledger, rejects and statistics.

    Raises:
        InputError: a directory is not the output of the step it is given for, or they do not
            belong together.
    """
    clips_dir = StepDir.open(clips, step="keyframes")
    captions_dirs = tuple(StepDir.open(uri, step="caption") for uri in captions)
    shards_dir = StepDir.open(shards, step="balance")
    stats = read_sidecar(shards_dir.folder, STATS_NAME)
    check_origin(clips_dir, captions_dirs, shards_dir, stats)
    steps = [(clips, clips_dir), *zip(captions, captions_dirs, strict=True), (shards, shards_dir)]
    videos: set[str] = set()
    num_texts = 0
    for table in clips_dir.tables(["video_uri", "texts"]):
        videos.update(table["video_uri"].to_pylist())
        num_texts += sum(map(len, table["texts"].to_pylist()))
    return Facts(
        clips_dir=clips_dir,
        captions_dirs=captions_dirs,
        shards_dir=shards_dir,
        ledgers=tuple((uri, audit(step_dir)) for uri, step_dir in steps),
        reasons=tuple(reason for _, step_dir in steps for reason in count_reasons(step_dir)),
        costs=tuple(cost_of(uri, d) for uri, d in zip(captions, captions_dirs, strict=True)),
        num_videos=len(videos),
        num_given_texts=num_texts,
        stats=stats,
        concepts=read_sidecar(shards_dir.folder, CONCEPTS_NAME),
    )


def cost_of(uri: str, captions_dir: StepDir) -> Cost:
    """Tokens in and out, over every caption that the model made; unknown counts are left out."""
    num_captions = num_prompt = num_output = 0
    models: set[str] = set()
    prompts: set[str] = set()
    columns = ["model", "prompt_name", "num_prompt_tokens", "num_output_tokens"]
    for table in captions_dir.tables(columns):
        num_captions += table.num_rows
        models.update(table["model"].to_pylist())
        prompts.update(table["prompt_name"].to_pylist())
        num_prompt += pc.sum(table["num_prompt_tokens"]).as_py() or 0
        num_output += pc.sum(table["num_output_tokens"]).as_py() or 0
    return Cost(
        uri=uri,
        model=", ".join(sorted(models)),
        prompt_name=", ".join(sorted(prompts)),
        num_captions=num_captions,
        num_prompt_tokens=num_prompt,
        num_output_tokens=num_output,
    )
