"""`plan` keeps a few bytes per clip, and plans what a naive planner plans."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mama_augment.balance import gather
from mama_augment.budget import spend as budget
from mama_augment.budget import step as plan
from mama_augment.budget.spend import BudgetConfig, main_concepts, spend
from mama_augment.concepts import ConceptConfig, lists
from mama_augment.concepts.lists import ConceptLists, ListsWriter
from mama_augment.core.draws import draw_bits
from tests.augment.worlds import clip, write_clips

Outcome = tuple[list[int], list[int], list[int], int]
TARGETS = [("uniform", None), ("sqrt", None), ("capped", 9.0)]
concept_lists = st.lists(
    st.lists(st.integers(0, 5), max_size=3, unique=True).map(sorted), min_size=1, max_size=40
)


def spend_naively(
    clips: Sequence[Sequence[int]], counts: Sequence[int], config: BudgetConfig
) -> Outcome:
    """(captions and asking concept by clip, visits by concept, unspent): every choice by search."""
    after = list(map(int, counts))
    weights = [max(n, 1) ** 0.5 if config.target == "sqrt" else 1.0 for n in after]
    given, why = [0] * len(clips), [-1] * len(clips)
    left, most = config.num_captions, config.max_per_clip
    while left:
        levels = [
            (after[c] / weights[c], c)
            for c in range(len(after))
            if any(c in ids and n < most for ids, n in zip(clips, given, strict=True))
        ]
        if not levels or (config.cap is not None and min(levels)[0] >= config.cap):
            break
        concept = min(levels)[1]
        served = min((given[i], i) for i, ids in enumerate(clips) if concept in ids)[1]
        why[served] = why[served] if given[served] else concept
        given[served] += 1
        left -= 1
        for other in clips[served]:
            after[other] += 1
    unknown = [i for i, ids in enumerate(clips) if not ids and config.cap is None]
    for served in (unknown * most)[:left]:
        given[served] += 1
        left -= 1
    return given, why, after, left


@given(
    concept_lists,
    st.lists(st.integers(0, 20), min_size=6, max_size=6),
    st.integers(1, 150),
    st.sampled_from([1, 3, 300]),
    st.sampled_from(TARGETS),
    st.sampled_from([(8, lists.CHUNK), (1, 2), (2, 3)]),
)
def test_the_budget_goes_where_a_search_through_everything_puts_it(
    clips: list[list[int]],
    counts: list[int],
    number: int,
    most: int,
    target: tuple[str, float | None],
    sizes: tuple[int, int],
) -> None:
    config = BudgetConfig(num_captions=number, max_per_clip=most, target=target[0], cap=target[1])
    with (
        patch.object(budget, "FIRST_LOOK", sizes[0]),
        patch.object(budget, "CHUNK", sizes[1]),
        patch.object(lists, "CHUNK", sizes[1]),
    ):
        found = spend(clips, counts, config)
    outcome = (found.num_captions.tolist(), found.concept_id.tolist(), found.counts_after.tolist())
    assert (*outcome, found.num_unspent) == spend_naively(clips, counts, config)


@pytest.mark.parametrize("num_concepts", [6, 127, 128, 40_000])
@given(concept_lists, st.integers(1, 7))
def test_flat_lists_are_the_lists_and_turn_around(
    num_concepts: int, clips: list[list[int]], size: int
) -> None:
    clips = [[num_concepts - 6 + i for i in ids] for ids in clips]
    writer = ListsWriter(num_concepts)
    with patch.object(lists, "CHUNK", 3):
        for start in range(0, len(clips), size):
            writer.add(clips[start : start + size])
        flat = writer.finish()
        inverted = flat.inverted(num_concepts)
    assert [flat[i].tolist() for i in range(len(flat))] == clips
    having = [[i for i, ids in enumerate(clips) if c in ids] for c in range(num_concepts)]
    assert [inverted[c].tolist() for c in range(num_concepts)] == having


def test_spending_holds_a_few_bytes_per_clip() -> None:
    """One concept per clip, among hundreds: 11 bytes on top of the 6 that the concepts take."""
    number = 200_000
    flat = ConceptLists(
        np.random.default_rng(0).integers(0, 500, number).astype(np.int16),
        np.arange(number + 1, dtype=np.uint32),
    )
    with patch.object(budget, "CHUNK", 4_096), patch.object(lists, "CHUNK", 4_096):
        tracemalloc.start()
        spend(flat, np.bincount(flat.ids), BudgetConfig(num_captions=1_000))
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert flat.ids.nbytes + flat.starts.nbytes <= 6 * number + 4
    assert peak_bytes < 11 * number


WORDS = ("red", "green", "blue", "round", "square")


def random_rows(seed: int) -> list[dict[str, Any]]:
    draws = random.Random(seed)
    texts = [" ".join(draws.choices((*WORDS, "thing"), (9, 5, 3, 2, 1, 9), k=3)) for _ in range(90)]
    return [
        clip(
            f"{draws.randrange(16**8):08x}é{i}",
            *texts[i : i + draws.randrange(4)],
            split=draws.choice((None, "train", "test")),
        )
        for i in range(60)
    ]


def plan_naively(rows: list[dict[str, Any]], config: BudgetConfig) -> list[tuple[str, int, str]]:
    """The rows of the plan, with everything in memory."""
    lists_of = {}
    for row in sorted(rows, key=lambda row: draw_bits(config.seed, "order", row["clip_id"])):
        texts = dict.fromkeys(text["text"] for text in row["texts"])
        lists_of[row["clip_id"]] = [[WORDS.index(w) for w in WORDS if w in t] for t in texts]
    told = {r["clip_id"]: f"held out for {r['split']}" for r in rows if r["split"] == "test"}
    open_ids = [clip_id for clip_id in lists_of if clip_id not in told]
    counts = [sum(c in t for i in open_ids for t in lists_of[i]) for c in range(len(WORDS))]
    concepts = [main_concepts(lists_of[i]) for i in open_ids]
    given_to, why, after, _ = spend_naively(concepts, counts, config)
    for i, clip_id in enumerate(open_ids):
        if given_to[i]:
            c = why[i]
            rare = f"rare: {WORDS[c]} ({counts[c]} → {after[c]})"
            told[clip_id] = rare if c >= 0 else "unknown concept, budget left"
        elif not concepts[i]:
            told[clip_id] = "unknown concept"
        else:
            c = min(concepts[i], key=lambda c: counts[c])
            told[clip_id] = f"enough: {WORDS[c]} ({after[c]})"
    numbers = dict(zip(open_ids, given_to, strict=True))
    return sorted((i, numbers.get(i, 0), told[i]) for i in told)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("budget_size", [11, 200])
def test_a_plan_made_bucket_by_bucket_is_the_plan_made_at_once(
    tmp_path: Path, target: tuple[str, float | None], budget_size: int
) -> None:
    rows = random_rows(budget_size)
    clips = write_clips(tmp_path / "clips", rows)
    (tmp_path / "words.txt").write_text("\n".join(WORDS))
    concepts = ConceptConfig(assigner="vocabulary", vocabulary=str(tmp_path / "words.txt"))
    config = BudgetConfig(num_captions=budget_size, target=target[0], cap=target[1], seed=3)
    wanted = plan_naively(rows, config)
    for texts_per_bucket, rows_per_group in ((40_000, 50_000), (4, 7)):
        out = tmp_path / f"{texts_per_bucket}.parquet"
        with (
            patch.object(gather, "TEXTS_PER_BUCKET", texts_per_bucket),
            patch.object(plan, "ROWS_PER_GROUP", rows_per_group),
            patch.object(plan, "ROWS_PER_READ", 2),
        ):
            made = plan.make_caption_plan(clips, [], concepts, config, str(out))
        assert [tuple(row.values()) for row in pq.read_table(out).to_pylist()] == wanted
        assert pq.ParquetFile(out).num_row_groups == -(-len(rows) // rows_per_group)
        numbers = [number for _, number, _ in wanted]
        assert (made.num_clips, made.num_clips_planned) == (60, len(rows) - numbers.count(0))
        assert (made.num_planned, made.num_planned + made.num_unspent) == (
            sum(numbers),
            budget_size,
        )
