"""A run's report: one HTML file with everything inside, readable without a network."""

from __future__ import annotations

import json
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mama_augment.core.store.files import write_whole
from mama_train.objective.weighting import LEARNED
from mama_train.report import plots
from mama_train.report.signs import warning_signs
from mama_train.run.checkpoint import find_checkpoint, load_net
from mama_train.run.history import Row, read_history

Section = tuple[str, str]

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #20262d; background: #fff;
       max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; } th, td { padding: .25rem .7rem; text-align: right;
       border-bottom: 1px solid #e0e4e9; } th:first-child, td:first-child { text-align: left; }
svg { max-width: 100%; height: auto; } .sign { background: #fdf1e7; padding: .5rem .8rem;
       border-left: 4px solid #d9622b; margin: .4rem 0; } p.note { color: #555e68; }
"""


def write_report(run: Path) -> Path:
    """Write RUN/report.html and return its path."""
    body = "\n".join(
        f"<section><h2>{escape(title)}</h2>\n{html}</section>"
        for title, html in training_sections(run)
    )
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>Training run {escape(run.name)}</title><style>{STYLE}</style></head>"
        f"<body><h1>Training run {escape(run.name)}</h1>\n{body}\n</body></html>\n"
    )
    path = run / "report.html"
    write_whole(path, page)
    return path


def training_sections(run_dir: str | Path) -> list[Section]:
    """(title, HTML fragment) of each part, to stand in this report or in another page.

    Fragments hold inline SVG and plain tables: no scripts, no links to other files.
    """
    run = Path(run_dir)
    metrics = json.loads((run / "metrics.json").read_text())
    config = json.loads((run / "config.json").read_text())["config"]
    rows = read_history(run)
    steps = [r for r in rows if r["kind"] == "step"]
    evals = [r for r in rows if r["kind"] == "eval"]
    learned = metrics["weights"] in LEARNED
    sections: list[Section] = [("Retrieval", _retrieval(metrics))]
    signs = warning_signs(rows, metrics, learned=learned)
    shown = "".join(f'<p class="sign">{escape(s)}</p>' for s in signs)
    sections.append(("Warning signs", shown or "<p>None of those that are looked for.</p>"))
    if steps:
        sections.append(("Loss", plots.loss_curve(steps)))
    if evals:
        sections.append(("R@1 during training", plots.recall_curve(evals)))
    if steps:
        sections.append(("From loss to weight", _weights(run, steps, metrics, learned=learned)))
    split = metrics.get("test") or metrics.get("val")
    if split and split["by_frequency"]:
        chart = plots.frequency_scatter(split["by_concept"], split["by_frequency"])
        sections.append(("R@1 by concept frequency", chart))
    if any("meta_norm" in r for r in steps):
        sections.append(("Weight net over the run", plots.net_diagnostics(steps)))
    sections.append(("Settings", _table(["setting", "value"], [[k, v] for k, v in config.items()])))
    return sections


def _retrieval(metrics: dict[str, Any]) -> str:
    names = ["R@1", "R@5", "R@10", "MdR", "MnR", "num_queries"]
    rows = [
        [f"{split}, {direction.replace('_', ' ')}", *(_number(found[n]) for n in names)]
        for split in ("test", "val")
        if metrics.get(split)
        for direction, found in metrics[split].items()
        if isinstance(found, dict) and "R@1" in found
    ]
    head = ["", "R@1 %", "R@5 %", "R@10 %", "median rank", "mean rank", "queries"]
    speed = (
        f"<p class='note'>{metrics['num_steps']} steps in {metrics['seconds']:.1f} s, "
        f"{metrics['samples_per_second']:.0f} samples/s; weights: {escape(metrics['weights'])}; "
        f"checkpoint of step {metrics['best_step']}.</p>"
    )
    notes = "".join(f'<p class="note">{escape(n)}</p>' for n in metrics["notes"])
    return (_table(head, rows) if rows else "<p>No split to evaluate on.</p>") + speed + notes


def _weights(run: Path, steps: list[Row], metrics: dict[str, Any], *, learned: bool) -> str:
    """The loss-to-weight chart over (about) the last tenth of the run's samples."""
    recent = steps[-max(1, len(steps) // 10) :]
    points = np.array([p for row in recent for p in row["points"]], np.float64)
    chart = plots.weight_curve(points[:, 0], points[:, 1], _net(run) if learned else None)
    return (
        f"<p class='note'>Weights: {escape(metrics['weights'])}. Grey: the samples of the last "
        f"{len(recent)} steps; below: how many of them had which loss.</p>{chart}"
    )


def _net(run: Path) -> Callable[[plots.Floats], plots.Floats] | None:
    net = load_net(find_checkpoint(str(run), which="last"))
    if net is None:
        return None

    def values(losses: plots.Floats) -> plots.Floats:
        with torch.no_grad():
            return net(torch.from_numpy(losses).float()).double().numpy()

    return values


def _table(head: list[str], rows: list[list[Any]]) -> str:
    top = "".join(f"<th>{escape(h)}</th>" for h in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _number(value: float) -> str:
    return f"{value:.1f}" if isinstance(value, float) else f"{value:,}"
