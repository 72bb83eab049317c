"""A comparison on a terminal and as one HTML file."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from mama_augment.core.shared import say
from mama_augment.core.shared.charts import BLUE, GREY, svg
from mama_augment.core.shared.page import Section, note, page, table
from mama_augment.core.store.files import write_whole
from mama_train.compare.arms import Estimate

Summary = dict[str, dict[str, Estimate]]


def cell(estimate: Estimate) -> str:
    """Mean ± half width, and the paired difference from the baseline with its p-value."""
    text = f"{estimate.mean:.1f}"
    if estimate.half_width is not None:
        text += f" ± {estimate.half_width:.1f}"
    if estimate.p_value is not None:
        text += f" (Δ {estimate.difference:+.1f}, p {estimate.p_value:.2f})"
    return text


def columns(summary: Summary, states: dict[str, str]) -> list[str]:
    """Names of the columns after the arm's; the last one is of the weight nets, if any."""
    return [*next(iter(summary.values())), *(["weight nets"] if states else [])]


def table_rows(summary: Summary, states: dict[str, str]) -> list[list[str]]:
    """One row per arm. `states`: what became of each arm's weight nets (`arms.net_states`)."""
    return [
        [arm, *(cell(e) for e in of_arm.values()), *([states[arm]] if states else [])]
        for arm, of_arm in summary.items()
    ]


def show_comparison(
    summary: Summary, states: dict[str, str], *, num_seeds: int, baseline: str
) -> None:
    """The table on the terminal."""
    measures = columns(summary, states)
    say.table(
        f"{num_seeds} seeds; mean ± 95 % interval; Δ and paired t-test against {baseline}",
        ["arm", *measures],
        table_rows(summary, states),
        right=measures,
    )


def write_comparison(
    path: Path, summary: Summary, states: dict[str, str], *, num_seeds: int, baseline: str
) -> None:
    """One self-contained HTML file: the table and a chart per measure."""
    measures = list(next(iter(summary.values())))
    words = (
        f"{num_seeds} seeds each; mean ± 95 % t interval; Δ: mean difference from {baseline}, "
        "paired by seed, with the p-value of a paired t-test, not corrected for the number of "
        "comparisons. Test split."
    )
    if states:
        words += (
            " A weight net is dead when its weights are equal in the end (it is saturated, or has "
            "not learned), and collapsed when the effective sample is below 10 % of the batch."
        )
    rows = table(["arm", *columns(summary, states)], table_rows(summary, states))
    sections = [Section(title="All measures", html=note(words) + rows)]
    sections += [Section(title=m, html=chart(summary, m)) for m in measures]
    write_whole(path, page("Comparison", sections, made_by="mama-train"))


def chart(summary: Summary, measure: str) -> str:
    """Each seed as a dot, mean and interval as a bar, one line per arm."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for place, of_arm in enumerate(summary.values()):
            found = of_arm[measure]
            axes.scatter(found.values, [place] * len(found.values), s=14, color=GREY)
            axes.errorbar(found.mean, place, xerr=found.half_width, fmt="o", color=BLUE, capsize=4)
        axes.set_yticks(range(len(summary)), list(summary))
        axes.margins(y=0.2)
        axes.invert_yaxis()
        axes.set_xlabel(measure)

    return svg(draw, alt=f"{measure} of each arm", height=1.2 + 0.35 * len(summary))
