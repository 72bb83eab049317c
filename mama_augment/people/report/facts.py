"""The numbers of a report, read from the steps' own files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from mama_augment.balance.source.inputs import Inputs
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

    inputs: Inputs
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
        clips = [ledger for _, ledger in self.ledgers if ledger.step == "keyframes"]
        rows = sum(self.stats["splits"][split]["num_rows"] for split in SPLITS)
        return [
            ("clips in the input", sum(ledger.num_in for ledger in clips)),
            ("clips with key frames", sum(ledger.num_ok for ledger in clips)),
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


def collect(inputs: Inputs, shards_dir: StepDir) -> Facts:
    """Read every step's ledger, rejects and statistics.

    Raises:
        InputError: the directories do not belong together, or a file of the shards is missing.
    """
    stats = read_sidecar(shards_dir.folder, STATS_NAME)
    check_origin(inputs, shards_dir, stats)
    steps = [(str(step_dir.folder), step_dir) for step_dir in (*inputs.dirs, shards_dir)]
    videos: set[str] = set()
    num_texts = 0
    for table in inputs.clips.tables(["video_uri", "texts"]):
        videos.update(table["video_uri"].to_pylist())
        num_texts += sum(map(len, table["texts"].to_pylist()))
    return Facts(
        inputs=inputs,
        shards_dir=shards_dir,
        ledgers=tuple((uri, audit(step_dir)) for uri, step_dir in steps),
        reasons=tuple(reason for _, step_dir in steps for reason in count_reasons(step_dir)),
        costs=tuple(cost_of(step_dir) for step_dir in inputs.captions),
        num_videos=len(videos),
        num_given_texts=num_texts,
        stats=stats,
        concepts=read_sidecar(shards_dir.folder, CONCEPTS_NAME),
    )


def cost_of(captions_dir: StepDir) -> Cost:
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
        uri=str(captions_dir.folder),
        model=", ".join(sorted(models)),
        prompt_name=", ".join(sorted(prompts)),
        num_captions=num_captions,
        num_prompt_tokens=num_prompt,
        num_output_tokens=num_output,
    )
