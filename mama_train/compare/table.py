"""A comparison on a terminal and as one HTML file."""

from __future__ import annotations

from html import escape
from pathlib import Path

from matplotlib.figure import Figure
from rich.table import Table

from mama_augment.core.store.files import write_whole
from mama_train.compare.arms import Estimate
from mama_train.report.page import STYLE
from mama_train.report.plots import BLUE, GREY, svg

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


def terminal_table(summary: Summary, *, num_seeds: int, baseline: str) -> Table:
    table = Table(
        title=f"{num_seeds} seeds; mean ± 95 % interval; Δ and paired t-test against {baseline}",
        title_justify="left",
    )
    table.add_column("arm")
    for measure in next(iter(summary.values())):
        table.add_column(measure, justify="right")
    for row in table_rows(summary):
        table.add_row(*row)
    return table


def write_comparison(path: Path, summary: Summary, *, num_seeds: int, baseline: str) -> None:
    """One self-contained HTML file: the table and a chart per measure."""
    measures = list(next(iter(summary.values())))
    head = "".join(f"<th>{escape(h)}</th>" for h in ("arm", *measures))
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>"
        for row in table_rows(summary)
    )
    charts = "".join(f"<h2>{escape(m)}</h2>{chart(summary, m)}" for m in measures)
    write_whole(
        path,
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Comparison</title>'
        f"<style>{STYLE}</style></head><body><h1>Comparison</h1>"
        f"<p class='note'>{num_seeds} seeds each; mean ± 95 % t interval; Δ: mean difference from "
        f"{escape(baseline)}, paired by seed, with the p-value of a paired t-test, not corrected "
        "for the number of comparisons. Test split.</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{charts}</body></html>",
    )


def chart(summary: Summary, measure: str) -> str:
    """Each seed as a dot, mean and interval as a bar, one line per arm."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for place, of_arm in enumerate(summary.values()):
            found = of_arm[measure]
            axes.scatter(found.values, [place] * len(found.values), s=14, color=GREY)
            axes.errorbar(found.mean, place, xerr=found.half_width, fmt="o", color=BLUE, capsize=4)
        axes.set_yticks(range(len(summary)), list(summary))
        axes.invert_yaxis()
        axes.set_xlabel(measure)

    return svg(draw, height=1.2 + 0.35 * len(summary))
