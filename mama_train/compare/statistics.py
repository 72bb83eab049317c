"""Means, intervals and tests of a comparison.

Shapes: S seeds, Q queries of the test split; the same ones in every run of a comparison.

    spread      the sample standard deviation over the seeds (n − 1)
    interval    percentile bootstrap: each of 2,000 replicates draws S seeds and Q queries with
                replacement, and measures them; 2.5 % of the replicates lie below and above. A share
                of queries stays between 0 and 100 %, as that of every replicate does.
    difference  from the baseline, run by run: replicates draw the same seeds and queries of both
    p           two-sided paired t-test of the S differences
    Holm        p's of all arms for one measure, corrected for their number: of m, sorted, the
                i-th becomes the largest (m − j + 1) p_j of j = 1 … i, at most 1
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Reduce = Callable[..., Any]
"""From [S, Q] to [S], with `axis=1`: a mean or a median over queries."""
REPLICATES = 2000


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A measure of one arm; of runs that diverged there is no value.

    values: by run. spread: None with one run. low, high: the 95 % interval of the mean.
    difference: mean of (arm − baseline) over the runs of both; None without a common one.
    p_value: of it; p_holm: corrected. All None for the baseline itself, or with one seed.
    """

    values: tuple[float, ...]
    mean: float
    spread: float | None = None
    low: float | None = None
    high: float | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    p_value: float | None = None
    p_holm: float | None = None


def spread(values: Sequence[float]) -> float | None:
    """The sample standard deviation; None of a single value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def paired_p(differences: Sequence[float]) -> float | None:
    """Of the two-sided paired t-test; None where there is one difference, or all are equal, which
    leaves the test without a spread."""
    if len(differences) < 2 or np.ptp(differences) < 1e-9:  # but for rounding
        return None
    from scipy import stats

    return float(stats.ttest_1samp(differences, 0).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p's, in their order, corrected by Holm's step-down method."""
    order = np.argsort(p_values, kind="stable")
    scaled = np.asarray(p_values, np.float64)[order] * np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return [float(p) for p in corrected]


def bootstrap(
    values_SQ: Floats,
    reduce: Reduce = np.mean,
    *,
    baseline_SQ: Floats | None = None,
    seed: int = 0,
) -> tuple[float, float]:
    """The 95 % percentile interval of the mean over seeds of what `reduce` makes of a run's
    queries; with a baseline, of the mean difference from it."""
    rng = np.random.default_rng(seed)
    num_seeds, num_queries = values_SQ.shape
    found = np.empty(REPLICATES)
    for i in range(REPLICATES):
        queries = rng.integers(0, num_queries, num_queries)
        of_run_S = reduce(values_SQ[:, queries], axis=1)
        if baseline_SQ is not None:
            of_run_S = of_run_S - reduce(baseline_SQ[:, queries], axis=1)
        found[i] = of_run_S[rng.integers(0, num_seeds, num_seeds)].mean()
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def bootstrap_values(values: Sequence[float], *, seed: int = 0) -> tuple[float, float] | None:
    """The same where only one value per run is known; None of a single one."""
    if len(values) < 2:
        return None
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(values), (REPLICATES, len(values)))
    low, high = np.quantile(np.asarray(values, np.float64)[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)
