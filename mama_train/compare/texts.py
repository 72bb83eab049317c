"""A comparison as tables for a terminal, a page, Markdown, LaTeX and a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from mama_train.compare.measures import GROUPS, MEASURES, Measure, Run
from mama_train.compare.statistics import Estimate
from mama_train.compare.summary import Summary

HEAD = "arm"
CHANCE = "chance"
STATES = "runs"


def cell(estimate: Estimate | None, measure: Measure, *, with_interval: bool = True) -> str:
    """Mean ± sample standard deviation [95 % interval], the difference from the baseline and its p
    by Holm; a dash where no run has a value."""
    if estimate is None:
        return "–"
    text = f"{estimate.mean:.{measure.decimals}f}"
    if estimate.spread is not None:
        text += f" ± {estimate.spread:.{measure.decimals}f}"
    if with_interval and estimate.low is not None:
        text += f" [{estimate.low:.{measure.decimals}f}, {estimate.high:.{measure.decimals}f}]"
    if estimate.difference is not None:
        text += f" (Δ {estimate.difference:+.{measure.decimals}f}"
        text += ")" if estimate.p_holm is None else f", p {p_text(estimate.p_holm)})"
    return text


def p_text(p: float) -> str:
    """Two digits that mean something: 0.012, or that it is below 0.001."""
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def measures_of(summary: Summary, names: Sequence[str]) -> list[Measure]:
    """Those that any arm has."""
    return [MEASURES[n] for n in names if any(n in of_arm for of_arm in summary.values())]


def rows_of(
    summary: Summary,
    measures: Sequence[Measure],
    *,
    chance: dict[str, float] | None = None,
    states: dict[str, str] | None = None,
    with_intervals: bool = True,
) -> tuple[list[str], list[list[str]]]:
    """(head, rows): one row per arm, and one of what a random order would give. `states`: what
    became of each arm's runs, in a last column."""
    head = [HEAD, *(m.name for m in measures), *([STATES] if states else [])]
    rows = [
        [
            arm,
            *(cell(of_arm.get(m.name), m, with_interval=with_intervals) for m in measures),
            *([states[arm]] if states else []),
        ]
        for arm, of_arm in summary.items()
    ]
    if chance and any(m.name in chance for m in measures):
        values = [f"{chance[m.name]:.{m.decimals}f}" if m.name in chance else "" for m in measures]
        rows.append([CHANCE, *values, *([""] if states else [])])
    return head, rows


def groups_of(summary: Summary) -> dict[str, list[Measure]]:
    """Title → measures, for those that any arm has."""
    found = {
        title: measures_of(summary, [m.name for m in group]) for title, group in GROUPS.items()
    }
    return {title: measures for title, measures in found.items() if measures}


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown; bars in cells do not end them."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"

    return line(head) + "|" + "---|" * len(head) + "\n" + "".join(map(line, rows))


_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "→": r"$\to$",
    "Δ": r"$\Delta$",
    "−": r"$-$",
    "–": "--",
    "μ": r"$\mu$",
}


def latex_text(text: str) -> str:
    """Text that LaTeX sets as it is: every character that has a meaning there is escaped."""
    return "".join(_LATEX.get(character, character) for character in text)


def latex(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    r"""A `tabular` with booktabs' rules (\usepackage{booktabs})."""

    def line(cells: Sequence[str]) -> str:
        return " & ".join(map(latex_text, cells)) + r" \\" + "\n"

    return (
        f"\\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}\n\\toprule\n{line(head)}\\midrule\n"
        f"{''.join(map(line, rows))}\\bottomrule\n\\end{{tabular}}\n"
    )


def csv_text(summary: Summary) -> str:
    """One row per arm and measure, with all numbers in full."""
    fields = [f for f in Estimate.__dataclass_fields__ if f != "values"]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["arm", "measure", "num_runs", *fields])
    for arm, of_arm in summary.items():
        for name, estimate in of_arm.items():
            values = [getattr(estimate, f) for f in fields]
            writer.writerow(
                [arm, name, len(estimate.values), *("" if v is None else v for v in values)]
            )
    return stream.getvalue()


def runs_csv_text(results: dict[str, list[Run]], seeds: Sequence[int]) -> str:
    """One row per run, with the value of every measure."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["arm", "seed", "diverged", *MEASURES])
    for arm, runs in results.items():
        for seed, run in zip(seeds, runs, strict=True):
            values = [m.value(run) for m in MEASURES.values()]
            writer.writerow(
                [arm, seed, run.diverged or "", *("" if v is None else v for v in values)]
            )
    return stream.getvalue()
