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


def table_rows(summary: Summary) -> list[list[str]]:
    return [[arm, *(cell(e) for e in of_arm.values())] for arm, of_arm in summary.items()]


def show_comparison(summary: Summary, *, num_seeds: int, baseline: str) -> None:
    """The table on the terminal."""
    measures = list(next(iter(summary.values())))
    say.table(
        f"{num_seeds} seeds; mean ± 95 % interval; Δ and paired t-test against {baseline}",
        ["arm", *measures],
        table_rows(summary),
        right=measures,
    )


def write_comparison(path: Path, summary: Summary, *, num_seeds: int, baseline: str) -> None:
    """One self-contained HTML file: the table and a chart per measure."""
    measures = list(next(iter(summary.values())))
    words = (
        f"{num_seeds} seeds each; mean ± 95 % t interval; Δ: mean difference from {baseline}, "
        "paired by seed, with the p-value of a paired t-test, not corrected for the number of "
        "comparisons. Test split."
    )
    rows = table(["arm", *measures], table_rows(summary))
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
