"""What a comparison leaves: a table on the terminal, one HTML file, and tables to use elsewhere."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mama_augment.core.shared import say
from mama_augment.core.shared.page import Section, note, page, table
from mama_augment.core.store.files import write_whole
from mama_train.compare import charts, texts
from mama_train.compare.arms import Comparison, read_comparison, run_folder
from mama_train.compare.measures import SHOWN, Run, chance, states
from mama_train.compare.runs import Shown, Step, read_run
from mama_train.compare.summary import Summary, summarise
from mama_train.measure.headline import headline

DSL_WORDS = (
    "Dual softmax weighs every similarity by how much its item likes the query among all test "
    "queries. A search engine never has these at once, so such numbers stand apart."
)


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A comparison with its runs and what they add up to."""

    comparison: Comparison
    results: dict[str, list[Run]]
    summary: Summary
    chance: dict[str, float]
    states: dict[str, str]

    @classmethod
    def of(cls, comparison: Comparison, results: dict[str, list[Run]]) -> Compared:
        return cls(
            comparison=comparison,
            results=results,
            summary=summarise(results, comparison.baseline),
            chance=chance(results),
            states=states(results),
        )

    @property
    def words(self) -> str:
        """What stands in the cells."""
        num = len(self.comparison.seeds)
        seeds = "1 seed" if num == 1 else f"{num} seeds"
        if len(self.results) == 1:
            return f"{seeds}; mean ± standard deviation [95 % interval]"
        return (
            f"{seeds}; mean ± standard deviation [95 % interval]; Δ against "
            f"{self.comparison.baseline}, p by Holm"
        )

    def to_json(self) -> dict[str, Any]:
        """By arm: its estimates by measure, what became of its runs, and why any diverged."""
        found: dict[str, dict[str, Any]] = {
            arm: {name: asdict(e) for name, e in of_arm.items()}
            for arm, of_arm in self.summary.items()
        }
        for arm, runs in self.results.items():
            if self.states:
                found[arm]["runs"] = self.states[arm]
            why = {
                seed: run.diverged
                for seed, run in zip(self.comparison.seeds, runs, strict=True)
                if run.diverged
            }
            if why:
                found[arm]["diverged"] = why
        return found


def show_comparison(compared: Compared) -> None:
    """The table on the terminal: what fits."""
    measures = texts.measures_of(compared.summary, SHOWN)
    head, rows = texts.rows_of(
        compared.summary,
        measures,
        chance=compared.chance,
        states=compared.states,
        with_intervals=False,
    )
    say.table(
        compared.words.replace(" [95 % interval]", ""), head, rows, right=[m.name for m in measures]
    )


def write_comparison(folder: Path, compared: Compared) -> Path:
    """comparison.html (returned), .md, .tex, .csv, and runs.csv."""
    head = f"{compared.words}. Test split."
    tables = {
        title: texts.rows_of(compared.summary, measures, chance=compared.chance)
        for title, measures in texts.groups_of(compared.summary).items()
    }
    marked = "".join(f"**{title}**\n\n{texts.markdown(*t)}\n" for title, t in tables.items())
    write_whole(folder / "comparison.md", f"{head}\n\n{marked}{DSL_WORDS}\n")
    in_latex = "".join(f"% {title}\n{texts.latex(*t)}\n" for title, t in tables.items())
    write_whole(folder / "comparison.tex", f"% {head}\n{in_latex}")
    write_whole(folder / "comparison.csv", texts.csv_text(compared.summary))
    seeds = compared.comparison.seeds
    write_whole(folder / "runs.csv", texts.runs_csv_text(compared.results, seeds))
    path = folder / "comparison.html"
    write_whole(path, page("Comparison", _sections(compared, tables), made_by="mama-train"))
    return path


IN_SHORT = ("Text to video", "Answers", "Rare concepts, model and weights")
"""Tables of a comparison that stand in another page; the others are in its own."""


def comparison_sections(file: str, folder: Path) -> list[Section]:
    """The heart of a finished comparison, to stand in another page: of the file that
    `mama-train compare` was given, with `folder` as its --out.

    Raises:
        InputError: the file is wrong, or a run is not over.
    """
    comparison = read_comparison(file)
    results = {
        arm: [read_run(run_folder(folder, arm, seed)) for seed in comparison.seeds]
        for arm in comparison.arms
    }
    compared = Compared.of(comparison, results)
    tables = {
        title: texts.rows_of(compared.summary, measures, chance=compared.chance)
        for title, measures in texts.groups_of(compared.summary).items()
        if title in IN_SHORT
    }
    first, *others = _sections(compared, tables)
    title = "Does it help? " + ", ".join(comparison.arms)
    return [Section(title=title, html=first.html), *others]


def _sections(
    compared: Compared, tables: dict[str, tuple[list[str], list[list[str]]]]
) -> list[Section]:
    words = (
        f"{compared.words}. Test split. Standard deviations are those of a sample. Intervals are "
        "percentile bootstraps over queries and seeds. Δ is the mean difference, seed by seed, "
        "with the p of a paired t-test, corrected by Holm for the number of arms."
    )
    sections = [Section(title="What is compared", html=note(words))]
    if compared.states:
        rows = [[arm, state] for arm, state in compared.states.items() if state]
        told = note(
            "A weight net V is dead when its weights are equal in the end (it is saturated, or has "
            "not learned), and collapsed when the effective sample is below 10 % of the batch. "
            "Means are of the runs that did not diverge."
        )
        html = told + table(["arm", "runs"], rows, num_left=2)
        sections.append(Section(title="What became of the runs", html=html))
    for title, of_group in tables.items():
        more = note(DSL_WORDS) if title.startswith("Dual") else ""
        sections.append(Section(title=title, html=more + table(*of_group)))
    for measure in texts.measures_of(compared.summary, SHOWN):
        drawn = [charts.by_arm(compared.summary, measure.name, compared.chance)]
        drawn += charts.by_setting(compared.comparison, compared.summary, measure.name)
        sections.append(Section(title=measure.name, html="".join(drawn)))
    return sections


class Terminal(Shown):
    """A bar over all runs, with the step of the last one heard of, and a line for each that is
    over."""

    def __init__(self, num_runs: int) -> None:
        from rich import progress

        self.bar = say.bar(
            progress.TextColumn("[bold]{task.description}"),
            progress.BarColumn(),
            progress.TextColumn("{task.fields[over]}"),
            progress.TextColumn("{task.fields[place]}", markup=False),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(elapsed_when_finished=True),
        )
        self.num_runs, self.num_over = num_runs, 0
        self.parts: dict[tuple[str, int], float] = {}
        self.task = self.bar.add_task("runs", total=num_runs, over=f"0/{num_runs}", place="")

    def __enter__(self) -> Terminal:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def step(self, step: Step) -> None:
        self.parts[step.arm, step.seed] = step.step / max(1, step.num_steps)
        place = f"{step.arm}, seed {step.seed}: step {step.step:,} of {step.num_steps:,}"
        self._update(place=place)

    def done(self, arm: str, seed: int, run: Run) -> None:
        self.parts[arm, seed] = 1.0
        self.num_over += 1
        self._update(over=f"{self.num_over}/{self.num_runs}")
        if run.diverged:
            say.tell(f"{arm}, seed {seed}: diverged ({run.diverged})", "warning")
            return
        test = run.metrics["test"]
        recall = headline(test).words(test) if test else "no test split"
        say.say(f"{arm}, seed {seed}: {recall}, {run.metrics['seconds']:.0f} s")

    def _update(self, **fields: Any) -> None:
        self.bar.update(self.task, completed=sum(self.parts.values()), **fields)
