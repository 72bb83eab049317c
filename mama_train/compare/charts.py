"""Charts of a comparison: a measure by arm, and against a setting that was swept."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mama_augment.core.shared.charts import BLUE, GREEN, GREY, ORANGE, SOFT, label, svg
from mama_train.compare.arms import Comparison
from mama_train.compare.statistics import Estimate
from mama_train.compare.summary import Summary

COLOURS = (BLUE, ORANGE, GREEN, SOFT)


def by_arm(summary: Summary, measure: str, chance: dict[str, float]) -> str:
    """Each run as a dot, mean and interval as a bar, one line per arm; chance as a dotted line."""
    known = {arm: of_arm[measure] for arm, of_arm in summary.items() if measure in of_arm}

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for place, found in enumerate(known.values()):
            axes.scatter(found.values, [place] * len(found.values), s=14, color=GREY)
            axes.errorbar(found.mean, place, xerr=_errors([found]), fmt="o", color=BLUE, capsize=4)
        if measure in chance:
            axes.axvline(chance[measure], color=SOFT, linestyle=":", linewidth=1)
        axes.set_yticks(range(len(known)), list(known))
        axes.margins(y=0.2)
        axes.invert_yaxis()
        axes.set_xlabel(measure + (" (dotted: chance)" if measure in chance else ""))

    return svg(draw, alt=f"{measure} of each arm", height=1.2 + 0.35 * len(known))


def by_setting(comparison: Comparison, summary: Summary, measure: str) -> list[str]:
    """For each setting that an arm sweeps over numbers: the measure against it, a line per
    combination of the other swept values; arms that are not swept as lines across."""
    found = []
    for of in dict.fromkeys(sweep.of for sweep in comparison.sweeps.values()):
        swept = {arm: s.values for arm, s in comparison.sweeps.items() if s.of == of}
        for setting in next(iter(swept.values())):
            lines = _lines(swept, setting, summary, measure)
            if any(len(line) > 1 for line in lines.values()):
                across = {
                    arm: of_arm[measure]
                    for arm, of_arm in summary.items()
                    if arm not in comparison.sweeps and measure in of_arm
                }
                found.append(
                    _against(f"{of}: {measure} against {setting}", setting, measure, lines, across)
                )
    return found


Lines = dict[str, list[tuple[float, Estimate]]]


def _lines(swept: dict[str, dict[str, Any]], setting: str, summary: Summary, measure: str) -> Lines:
    """(value of the setting, estimate), ascending, by the other swept values in words."""
    lines: Lines = {}
    for arm, values in swept.items():
        value = values[setting]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        if measure in summary[arm]:
            others = ", ".join(f"{k} {v}" for k, v in values.items() if k != setting)
            lines.setdefault(others, []).append((float(value), summary[arm][measure]))
    return {name: sorted(line, key=lambda point: point[0]) for name, line in lines.items()}


def _against(
    alt: str, setting: str, measure: str, lines: Lines, across: dict[str, Estimate]
) -> str:
    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for number, (name, line) in enumerate(lines.items()):
            estimates = [e for _, e in line]
            axes.errorbar(
                [x for x, _ in line],
                [e.mean for e in estimates],
                yerr=_errors(estimates),
                fmt="o-",
                color=COLOURS[number % len(COLOURS)],
                capsize=4,
                label=name or "swept",
            )
        for arm, estimate in across.items():
            axes.axhline(estimate.mean, color=GREY, linestyle="--", linewidth=1)
            axes.annotate(
                arm, (1, estimate.mean), xycoords=("axes fraction", "data"), ha="right", va="bottom"
            )
        label(axes, setting, measure)
        if len(lines) > 1:
            axes.legend()

    return svg(draw, alt=alt)


def _errors(estimates: list[Estimate]) -> Any:
    """[2, N] from the means to the ends of the intervals; None where there is none."""
    if any(e.low is None or e.high is None for e in estimates):
        return None
    # A median of ranks may lie beside the middle of its replicates.
    return np.array(
        [
            [max(0.0, e.mean - (e.low or 0.0)) for e in estimates],
            [max(0.0, (e.high or 0.0) - e.mean) for e in estimates],
        ]
    )
