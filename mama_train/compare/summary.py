"""From the runs of a comparison to its estimates."""

from __future__ import annotations

from collections.abc import Sequence

from mama_train.compare.measures import MEASURES, Measure, Run
from mama_train.compare.statistics import (
    Estimate,
    bootstrap,
    bootstrap_values,
    holm,
    paired_p,
    spread,
)

Summary = dict[str, dict[str, Estimate]]
"""Arm → measure → estimate."""


def summarise(results: dict[str, list[Run]], baseline: str) -> Summary:
    """Arm → measure → estimate, for what at least one run has; an arm of which every run diverged
    has none. `results`: the runs of each arm in the order of the seeds."""
    found: Summary = {arm: {} for arm in results}
    for name, measure in MEASURES.items():
        of_measure: dict[str, Estimate] = {}
        for arm, runs in results.items():
            estimate = _estimate(measure, runs, results[baseline], is_baseline=arm == baseline)
            if estimate is not None:
                of_measure[arm] = estimate
        for arm, estimate in _corrected(of_measure).items():
            found[arm][name] = estimate
    return found


def _estimate(
    measure: Measure, runs: Sequence[Run], baseline: Sequence[Run], *, is_baseline: bool
) -> Estimate | None:
    known = [run for run in runs if measure.value(run) is not None]
    values = [v for run in known if (v := measure.value(run)) is not None]
    if not values:
        return None
    interval = _interval(measure, known)
    low, high = interval or (None, None)
    estimate = Estimate(
        values=tuple(values),
        mean=sum(values) / len(values),
        spread=spread(values),
        low=low,
        high=high,
    )
    both = [
        (run, other)
        for run, other in zip(runs, baseline, strict=True)
        if measure.value(run) is not None and measure.value(other) is not None
    ]
    return estimate if is_baseline or not both else _beside(measure, estimate, both)


def _beside(measure: Measure, own: Estimate, both: list[tuple[Run, Run]]) -> Estimate:
    """The same with its difference from the baseline, seed by seed."""
    differences = [
        (measure.value(run) or 0.0) - (measure.value(other) or 0.0) for run, other in both
    ]
    queries = measure.queries([run for run, _ in both])
    others = measure.queries([other for _, other in both])
    if queries is None or others is None or queries.shape != others.shape:
        interval = bootstrap_values(differences)
    else:
        interval = bootstrap(queries, measure.reduce, baseline_SQ=others)
    low, high = interval or (None, None)
    return Estimate(
        values=own.values,
        mean=own.mean,
        spread=own.spread,
        low=own.low,
        high=own.high,
        difference=sum(differences) / len(differences),
        difference_low=low,
        difference_high=high,
        p_value=paired_p(differences),
    )


def _interval(measure: Measure, runs: Sequence[Run]) -> tuple[float, float] | None:
    queries = measure.queries(runs)
    if queries is not None:
        return bootstrap(queries, measure.reduce)
    return bootstrap_values([v for run in runs if (v := measure.value(run)) is not None])


def _corrected(estimates: dict[str, Estimate]) -> dict[str, Estimate]:
    """With Holm's p's over the arms."""
    told = {arm: e.p_value for arm, e in estimates.items() if e.p_value is not None}
    corrected = dict(zip(told, holm(list(told.values())), strict=True)) if told else {}
    return {
        arm: Estimate(**vars(e) | {"p_holm": corrected.get(arm)}) for arm, e in estimates.items()
    }
