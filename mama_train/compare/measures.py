"""What a comparison measures of its runs, and where it lies in what they leave behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mama_train.compare.statistics import Floats, Reduce

Metrics = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that is over: its metrics and, of the test split, the rank of every query by direction
    (`evaluate.measure`); or, where it diverged, why."""

    metrics: Metrics = field(default_factory=dict)
    queries: dict[str, list[Any]] = field(default_factory=dict)
    diverged: str | None = None


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One column of a comparison.

    place: where the value lies in a run's metrics. Where it is a measure of queries, it is also
    `reduce` over the queries of `of` their ranks in a direction; bucket: over those of it only.
    """

    name: str
    place: tuple[str, ...]
    of: Callable[[NDArray[np.int64]], Floats] | None = None
    reduce: Reduce = np.mean
    direction: str = ""
    bucket: str = ""
    decimals: int = 1

    def value(self, run: Run) -> float | None:
        """Of a run; None where it has none."""
        here: Any = run.metrics
        for key in self.place:
            if not here or key not in here or here[key] is None:
                return None
            here = here[key]
        return float(here)

    def queries(self, runs: Sequence[Run]) -> Floats | None:
        """[S, Q], what to reduce; None where a run lacks it, or runs are of different queries."""
        if self.of is None or not all(self.direction in run.queries for run in runs):
            return None
        found = [np.array(run.queries[self.direction], np.int64) for run in runs]
        if self.bucket:
            kept = [np.array(run.queries["bucket"]) == self.bucket for run in runs]
            if any(len(k) != len(f) for k, f in zip(kept, found, strict=True)):
                return None
            found = [f[k] for f, k in zip(found, kept, strict=True)]
        if len({len(f) for f in found}) != 1 or not len(found[0]):
            return None
        return self.of(np.stack(found))


def is_within(ranks_SQ: NDArray[np.int64], *, k: int) -> Floats:
    """100 where a query is answered among the first k, else 0: R@k is their mean."""
    return np.where(ranks_SQ <= k, 100.0, 0.0)


def as_they_are(ranks_SQ: NDArray[np.int64]) -> Floats:
    return ranks_SQ.astype(np.float64)


def _retrieval(words: str, direction: str) -> tuple[Measure, ...]:
    def measure(kind: str, of: Callable[..., Floats], reduce: Reduce = np.mean) -> Measure:
        name = f"{words} {kind}" + (" %" if kind[0] == "R" else "")
        place = ("test", direction, kind)
        return Measure(name=name, place=place, of=of, reduce=reduce, direction=direction)

    return (
        *(measure(f"R@{k}", partial(is_within, k=k)) for k in (1, 5, 10)),
        measure("MdR", as_they_are, np.median),
        measure("MnR", as_they_are),
    )


def _answers(kind: str, k: int) -> Measure:
    return Measure(
        name=f"{kind} %",
        place=("test", "answers", kind),
        of=partial(is_within, k=k),
        direction="answers",
    )


GROUPS: dict[str, tuple[Measure, ...]] = {
    "Answers": (
        _answers("acc", 1),
        _answers("acc@10", 10),
        Measure(name="joint acc %", place=("test", "joint", "acc")),
    ),
    "Text to video": _retrieval("t→v", "text_to_video"),
    "Video to text": _retrieval("v→t", "video_to_text"),
    "Dual softmax (uses all test queries at once)": (
        *_retrieval("t→v DSL", "text_to_video_dual_softmax"),
        *_retrieval("v→t DSL", "video_to_text_dual_softmax"),
    ),
    "Rare concepts, model and weights": (
        Measure(
            name="tail R@1 %",
            place=("test", "by_frequency", "tail", "R@1"),
            of=partial(is_within, k=1),
            direction="text_to_video",
            bucket="tail",
        ),
        Measure(name="inverse temperature", place=("logit_scale",)),
        Measure(name="lowest logit of V", place=("weight_net", "logit_min"), decimals=2),
        Measure(name="highest logit of V", place=("weight_net", "logit_max"), decimals=2),
        Measure(
            name="effective sample (share of the batch)",
            place=("weight_net", "effective_share"),
            decimals=2,
        ),
        Measure(
            name="weight of wrong pairs / right ones",
            place=("weight_net", "wrong_ratio"),
            decimals=2,
        ),
    ),
}
MEASURES = {measure.name: measure for group in GROUPS.values() for measure in group}
SHOWN = ("acc %", "joint acc %", "t→v R@1 %", "t→v R@5 %", "t→v MdR", "v→t R@1 %", "tail R@1 %")
"""What fits a terminal."""


def chance(results: dict[str, list[Run]]) -> dict[str, float]:
    """By measure, what a random order would give; of recalls and mean ranks."""
    for runs in results.values():
        for run in runs:
            found = (run.metrics.get("test") or {}).get("chance")
            if found:
                return {
                    measure.name: found[measure.place[1]][measure.place[2]]
                    for measure in MEASURES.values()
                    if measure.place[0] == "test"
                    and measure.place[1] in found
                    and measure.place[2] in found[measure.place[1]]
                }
    return {}


def states(results: dict[str, list[Run]]) -> dict[str, str]:
    """Arm → what became of its runs, in words where there is something to say.

    dead: equal weights in the end, because V is saturated or has not learned; collapsed: a few
    samples have all the weight.
    """
    found = {}
    for arm, runs in results.items():
        nets = [run.metrics["weight_net"] for run in runs if run.metrics.get("weight_net")]
        diverged = sum(run.diverged is not None for run in runs)
        parts = [f"{diverged} of {len(runs)} diverged"] if diverged else []
        if nets:
            dead = sum(net["dead"] for net in nets)
            collapsed = sum(net["state"] == "collapsed" for net in nets)
            parts.append(f"V: {dead} dead, {collapsed} collapsed of {len(nets)}")
        found[arm] = "; ".join(parts)
    return found if any(found.values()) else {}
