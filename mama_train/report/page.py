"""A run's report: one HTML file with everything inside, readable without a network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mama_augment.core.shared.page import Section, note, page, table, warning
from mama_augment.core.store.files import write_whole
from mama_train.measure.headline import headline
from mama_train.objective.config import LEARNED
from mama_train.objective.health import net_health, shape_of, usual_losses
from mama_train.report import plots
from mama_train.report.answers import answers_html
from mama_train.report.signs import warning_signs
from mama_train.run.checkpoint import find_checkpoint, load_net
from mama_train.run.history import Row, read_history

SHAPE_STEPS = 20
"""Steps whose losses say where V's shape is looked at."""


def write_report(run: Path) -> Path:
    """Write RUN/report.html and return its path."""
    path = run / "report.html"
    title = f"Training run {run.name}"
    write_whole(path, page(title, training_sections(run), made_by="mama-train"))
    return path


def training_sections(run_dir: str | Path) -> list[Section]:
    """The parts of the report, to stand in it or in another page."""
    run = Path(run_dir)
    metrics = json.loads((run / "metrics.json").read_text())
    config = json.loads((run / "config.json").read_text())["config"]
    rows = read_history(run)
    steps = [r for r in rows if r["kind"] == "step"]
    evals = [r for r in rows if r["kind"] == "eval"]
    learned = metrics["weights"] in LEARNED
    task = metrics.get("task", "retrieval")
    found = {"Retrieval": _retrieval(metrics)} if task == "retrieval" else {}
    if not found:
        found["Answers"] = answers_html(metrics)
    signs = warning_signs(rows, metrics, learned=learned)
    found["Warning signs"] = "".join(map(warning, signs)) or "<p>None of those looked for.</p>"
    if steps:
        found["Loss"] = plots.loss_curve(steps)
    if evals:
        found[f"{headline(evals[0]).title} during training"] = plots.quality_curve(evals)
    if steps:
        found["From loss to weight"] = _weights(run, steps, metrics, learned=learned)
    split = metrics.get("test") or metrics.get("val")
    if split and split.get("by_frequency"):
        found["R@1 by concept frequency"] = plots.frequency_scatter(
            split["by_concept"], split["by_frequency"]
        )
    if any("curve" in r for r in steps):
        found["The weight net V over the run"] = _net_over_time(steps)
    if any("meta_norm" in r for r in steps):
        found["The meta step over the run"] = plots.net_diagnostics(steps)
    found["Settings"] = table(["setting", "value"], config.items(), num_left=2)
    return [Section(title=title, html=html) for title, html in found.items()]


def _retrieval(metrics: dict[str, Any]) -> str:
    names = ["R@1", "R@5", "R@10", "MdR", "MnR", "num_queries"]
    others = {f"test of {name}": more for name, more in metrics.get("eval_shards", {}).items()}
    measured = {
        "test": metrics.get("test"),
        "val": metrics.get("val"),
        "val before the first step": metrics.get("val_at_start"),
        **others,
    }
    rows = [
        [f"{split}, {direction.replace('_', ' ')}{how}", *(_number(found[n]) for n in names)]
        for split, whole in measured.items()
        if whole
        for how, of_split in (("", whole), (", as published", whole.get("published", {})))
        for direction, found in of_split.items()
        if isinstance(found, dict) and "R@1" in found
    ]
    head = ["", "R@1 %", "R@5 %", "R@10 %", "median rank", "mean rank", "queries"]
    speed = note(
        f"{metrics['num_steps']} steps in {metrics['seconds']:.1f} s, "
        f"{metrics['samples_per_second']:.0f} samples/s; weights: {metrics['weights']}; "
        f"checkpoint of step {metrics['best_step']}."
    )
    notes = "".join(map(note, metrics["notes"]))
    return (table(head, rows) if rows else "<p>No split to evaluate on.</p>") + speed + notes


def _weights(run: Path, steps: list[Row], metrics: dict[str, Any], *, learned: bool) -> str:
    """The loss-to-weight chart over (about) the last tenth of the run's samples."""
    recent = steps[-max(1, len(steps) // 10) :]
    points = np.array([p for row in recent for p in row["points"]], np.float64)
    chart = plots.weight_curve(points[:, 0], points[:, 1], _net(run) if learned else None)
    words = (
        f"Weights: {metrics['weights']}. Grey: the samples of the last {len(recent)} steps; below: "
        "how many of them had which loss."
    )
    return note(words) + chart


def _net_over_time(steps: list[Row]) -> str:
    """V's state in words and numbers, its curve at several moments, and what shape it had when."""
    health = net_health(steps)
    assert health is not None
    words = (
        f"State of V over the last tenth of the run: {health.state}. Weights differ by a factor of "
        f"{health.weight_ratio:.2f} between the 5th and the 95th percentile of the losses; the "
        f"effective sample 1/Σω² is {100 * health.effective_share:.0f} % of the batch; logits over "
        f"the observed losses from {health.logit_min:.1f} to {health.logit_max:.1f}; saturated on "
        f"{100 * health.saturated_share:.0f} % of the samples."
    )
    rows: list[list[str]] = []
    for at, row in enumerate(steps):
        if "curve" not in row:
            continue
        near = steps[max(0, at - SHAPE_STEPS) : at + 1]
        shape, peak = shape_of(np.array(row["curve"]), usual_losses(near))
        where = "" if shape in ("flat", "falls, then rises") else f"{peak:.1f}"
        if not rows or rows[-1][1] != shape or at == len(steps) - 1:
            rows.append([f"{row['step']:,}", shape, where])
    shapes = table(["from step", "V, as the loss grows", "largest at (nats)"], rows, num_left=2)
    return note(words) + plots.curves_over_time(steps) + shapes


def _net(run: Path) -> Callable[[plots.Floats], plots.Floats] | None:
    net = load_net(find_checkpoint(str(run), which="last"))
    if net is None:
        return None

    def values(losses: plots.Floats) -> plots.Floats:
        with torch.no_grad():
            return net(torch.from_numpy(losses).float()).double().numpy()

    return values


def _number(value: float) -> str:
    return f"{value:.1f}" if isinstance(value, float) else f"{value:,}"
