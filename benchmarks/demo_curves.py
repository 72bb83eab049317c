"""What became of V in a comparison's runs, and its curve over time as one picture.

    python benchmarks/demo_curves.py demo-arms docs/images/weight_curves.svg

Reads what `mama-train compare` left: per arm, how many V are dead or collapsed, the weight of wrong
pairs beside that of right ones, R@1, and at which tenths of the run V rises and then falls with the
loss. Draws the median over the seeds of V's curve at five moments, relative to its mean.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from mama_augment.core.shared.charts import STYLE
from mama_train.objective.health import log_weights, shape_of, usual_losses
from mama_train.run.history import read_history

MOMENTS = (0.1, 0.2, 0.4, 0.7, 1.0)


def main(folder: Path, picture: Path) -> None:
    arms: dict[str, list[tuple[dict[str, Any], list[dict[str, Any]]]]] = {}
    for run in sorted(folder.glob("*-seed*")):
        metrics = json.loads((run / "metrics.json").read_text())
        steps = [row for row in read_history(run) if row["kind"] == "step"]
        arms.setdefault(run.name.rpartition("-seed")[0], []).append((metrics, steps))
    with rc_context(STYLE | {"figure.facecolor": "white", "axes.facecolor": "white"}):
        figure = Figure(figsize=(4.2 * len(arms), 3.2), layout="constrained")
        axes = figure.subplots(1, len(arms), squeeze=False)[0]
        for ax, (arm, runs) in zip(axes, arms.items(), strict=True):
            report(arm, runs)
            for number, moment in enumerate(MOMENTS):
                losses, curve = median_curve([steps for _, steps in runs], moment)
                label = f"{100 * moment:.0f} % of the run"
                opacity = (number + 1) / len(MOMENTS)
                ax.plot(losses, curve, color="#2563a8", alpha=opacity, label=label)
            ax.set_title(f"{arm}, {len(runs)} seeds")
            ax.set_xlabel("loss of a pair (nats)")
            ax.set_ylabel("weight (1 = average)")
        axes[0].legend()
        figure.savefig(picture, metadata={"Date": None})


def report(arm: str, runs: list[tuple[dict[str, Any], list[dict[str, Any]]]]) -> None:
    nets = [metrics["weight_net"] for metrics, _ in runs]
    dead, collapsed = sum(n["dead"] for n in nets), sum(n["state"] == "collapsed" for n in nets)
    ratios = np.array([n["wrong_ratio"] for n in nets])
    recall = np.array([m["test"]["text_to_video"]["R@1"] for m, _ in runs])
    share = np.array([n["effective_share"] for n in nets])
    print(
        f"{arm}: {dead} dead, {collapsed} collapsed of {len(nets)}; wrong/right weight median "
        f"{np.median(ratios):.2f}, most {ratios.max():.2f}, at most a half in "
        f"{(ratios <= 0.5).sum()}; effective share {share.mean():.2f}, least {share.min():.2f}; "
        f"logits from {min(n['logit_min'] for n in nets):.1f} "
        f"to {max(n['logit_max'] for n in nets):.1f}; "
        f"R@1 {recall.mean():.1f} ± {recall.std(ddof=1):.1f}"
    )
    for tenth in range(1, 11):
        shapes = [shape_at(steps, tenth / 10) for _, steps in runs]
        counts = {shape: shapes.count(shape) for shape in dict.fromkeys(shapes)}
        print(f"  tenth {tenth}: {counts}")


def record_at(steps: list[dict[str, Any]], moment: float) -> int:
    """The last record of V up to a share of the run."""
    until = moment * len(steps)
    return [i for i, row in enumerate(steps) if "curve" in row and i < until][-1]


def shape_at(steps: list[dict[str, Any]], moment: float) -> str:
    place = record_at(steps, moment)
    near = usual_losses(steps[max(0, place - 20) : place + 1])
    return shape_of(np.array(steps[place]["curve"]), near)[0]


def median_curve(runs: list[list[dict[str, Any]]], moment: float) -> tuple[np.ndarray, np.ndarray]:
    """(losses that are usual then, in any of the runs; the median weight there)."""
    places = [record_at(steps, moment) for steps in runs]
    near = [usual_losses(s[max(0, p - 20) : p + 1]) for s, p in zip(runs, places, strict=True)]
    low, high = np.median(near, axis=0)
    losses = np.linspace(low, high, 100)
    curves = []
    for steps, place in zip(runs, places, strict=True):
        curve = np.array(steps[place]["curve"])
        own = np.array(
            [loss for row in steps[max(0, place - 20) : place + 1] for loss, _ in row["points"]]
        )
        mean = np.exp(log_weights(curve, own)).mean()
        curves.append(np.exp(log_weights(curve, losses)) / mean)
    return losses, np.median(curves, axis=0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
