"""What `balance` asks of an object store: few requests per unit, many at a time, none for sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mama_augment.balance.config import BalanceStep
from mama_augment.balance.keep.settings import BalanceConfig
from mama_augment.balance.splits import SplitSizes
from mama_augment.budget.spend import BudgetConfig
from mama_augment.budget.step import make_caption_plan
from mama_augment.concepts import ConceptConfig
from mama_augment.runtime import RuntimeConfig
from tests.augment.counting_fs import Counted, counted  # noqa: F401
from tests.augment.s3 import S3, Requests, s3  # noqa: F401
from tests.augment.steps import run_balance
from tests.augment.worlds import caption, clip, write_captions, write_clips

CLIPS_PER_UNIT = 4
MOST_PER_UNIT = 6
"""A clips unit and its captions unit together, all the way to the shards."""


def write_world(uri: str, num_units: int, frame_bytes: int = 60_000) -> tuple[str, str]:
    """Each unit holds more pixels than are read over to save a request."""
    draws = np.random.default_rng(0)
    rows, captions = [], []
    for i in range(num_units * CLIPS_PER_UNIT):
        row = clip(f"c{i:03d}", (f"a red ball {i}", "human", i % 2 == 0), label="ball")
        row["frames"] = [draws.bytes(frame_bytes) for _ in row["frames"]]
        rows.append(row)
        raw = " ".join(f"{draws.integers(10**9)}" for _ in range(200))
        captions.append(caption(f"c{i:03d}", 0, f"the red ball {i}", raw_text=raw))
    return (
        write_clips(f"{uri}/clips", rows, CLIPS_PER_UNIT),
        write_captions(f"{uri}/captions", captions, CLIPS_PER_UNIT),
    )


def cost(store: Requests, uri: str, num_units: int, **options: Any) -> Requests:
    """What a whole run asks for; nothing is dropped."""
    clips, captions = write_world(f"{uri}/{num_units}", num_units)
    store.reset()
    nothing = SplitSizes(meta=0, val=0, test=0)
    step = BalanceStep(balance=BalanceConfig(cap=float("inf")), sizes=nothing, **options)
    run_balance(clips, [captions], f"{uri}/{num_units}/out", step, RuntimeConfig(num_workers=1))
    return store


def further(store: Requests, uri: str, **options: Any) -> dict[str, int]:
    """Requests by kind that eight further units cost."""
    few = cost(store, uri, 8, **options).counts()
    many = cost(store, uri, 16, **options).counts()
    return {kind: many[kind] - few[kind] for kind in {*few, *many}}


def test_a_further_unit_costs_few_requests(counted: Counted) -> None:  # noqa: F811
    """Every opening asks for the size of the file unless it is known; no unit's may."""
    more = further(counted, counted.uri("a"))
    assert sum(more.values()) <= MOST_PER_UNIT * 8, more
    assert more.get("HEAD", 0) == 0, more
    assert more.get("LIST", 0) == 0, more


@pytest.mark.slow
def test_a_further_unit_costs_few_requests_of_a_store(s3: S3) -> None:  # noqa: F811
    more = further(s3, "s3://bucket/a")
    assert sum(more.values()) <= MOST_PER_UNIT * 8, more
    assert more.get("HEAD", 0) == more.get("LIST", 0) == 0, more
    given = ConceptConfig(assigner="given", column="split")
    more = further(s3, "s3://bucket/b", concepts=given)
    assert sum(more.values()) <= MOST_PER_UNIT * 8, more


@pytest.mark.slow
def test_units_are_read_many_at_a_time(s3: S3) -> None:  # noqa: F811
    clips, captions = write_world("s3://bucket/wide", 96, frame_bytes=3_000)
    s3.reset()
    budget = BudgetConfig(num_captions=3)
    make_caption_plan(clips, [captions], ConceptConfig(), budget)
    assert s3.most_in_flight >= 32
    s3.reset()
    run_balance(clips, [captions], "s3://bucket/wide/out", BalanceStep(), RuntimeConfig())
    assert s3.most_in_flight >= 32
    sizes = {key: n for key, n in s3.keys("HEAD").items() if key.endswith(".parquet")}
    assert sizes == {}


@pytest.mark.slow
def test_a_shard_is_two_objects(s3: S3) -> None:  # noqa: F811
    found = cost(s3, "s3://bucket/few", 8, shard_mb=1)
    puts = found.keys("PUT")
    shards = [key for key in puts if "/train/" in key]
    assert len(shards) == 4
    assert found.counts()["POST"] == 0
    for key in shards:
        unit = Path(key).name.rpartition("-")[0]
        records = [k for k in puts if "/units/" in k and Path(k).name.startswith(f"{unit}.")]
        assert (puts[key], [puts[record] for record in records]) == (1, [1])
