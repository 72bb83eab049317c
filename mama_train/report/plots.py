"""Charts of a run as inline SVG: what was measured, with units on the axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mama_augment.core.shared.charts import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    SOFT,
    label,
    svg,
    whole_numbers,
)
from mama_train.measure.headline import headline
from mama_train.objective.health import log_weights, usual_losses
from mama_train.run.history import Row

Floats = NDArray[np.float64]


def loss_curve(steps: Sequence[Row]) -> str:
    """Mean loss per step, smoothed, with the meta loss where there is one."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        x, y = _series(steps, "loss")
        axes.plot(x, y, color=BLUE, alpha=0.2, linewidth=1)
        axes.plot(x, smooth(y), color=BLUE, linewidth=2, label="training batch")
        x, y = _series(steps, "meta_loss")
        if len(x):
            axes.plot(x, smooth(y), color=ORANGE, linewidth=2, label="meta batch")
        label(axes, "step", "contrastive loss (nats)")
        axes.set_ylim(bottom=0)
        axes.legend()

    return svg(draw, alt="Loss per training step")


def quality_curve(evals: Sequence[Row]) -> str:
    """The main number on the validation split over the run; of retrieval, both directions."""
    main = headline(evals[0])

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        x = [row["step"] for row in evals]
        for place, colour in zip(main.places, (BLUE, ORANGE), strict=False):
            y = [row[place][main.name] for row in evals]
            name = place.replace("_", " ")
            axes.plot(x, y, color=colour, marker="o", markersize=3.5, linewidth=2, label=name)
        label(axes, "step", f"validation {main.name} (%)")
        axes.set_ylim(bottom=0)
        axes.legend()

    return svg(draw, alt=f"{main.title} on the validation split over the run")


def weight_curve(loss_P: Floats, weight_P: Floats, net: Callable[[Floats], Floats] | None) -> str:
    """Weight against loss for the samples of the last epoch, above where these losses lie.

    `net` maps losses to V; it is drawn relative to its mean over the samples, as weights are.
    """

    def draw(figure: Figure) -> None:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        top.scatter(loss_P, weight_P, s=6, color=SOFT, alpha=0.6, linewidths=0, label="samples")
        if net is not None:
            grid = np.linspace(0, max(float(loss_P.max()), 1e-3), 200)
            relative = net(grid) / max(float(net(loss_P).mean()), 1e-12)
            top.plot(grid, relative, color=BLUE, linewidth=2.5, label="learned V at the end")
        top.axhline(1, color=SOFT, linewidth=1, linestyle=":")
        label(top, "", "weight (1 = average)")
        top.legend()
        bottom.hist(loss_P, bins=40, color=BLUE, alpha=0.8)
        label(bottom, "loss of the sample (nats)", "samples")

    return svg(
        draw,
        alt="Weight of a sample against its loss, and how many samples have which loss",
        height=4.2,
    )


def curves_over_time(steps: Sequence[Row], *, num_curves: int = 7) -> str:
    """V at several moments of the run, early ones pale: does it rise and then fall, and when?

    Each is relative to its mean over the samples of its step, as weights are.
    """
    records = [row for row in steps if "curve" in row]
    chosen = [records[i] for i in np.linspace(0, len(records) - 1, num_curves).round().astype(int)]
    chosen = list({row["step"]: row for row in chosen}.values())
    low, high = usual_losses([row for row in steps if row["step"] >= chosen[0]["step"]])

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        grid = np.linspace(low, high, 200)
        for place, row in enumerate(chosen):
            curve = np.array(row["curve"])
            losses = np.array([loss for loss, _ in row["points"]])
            mean = np.exp(log_weights(curve, losses)).mean()
            weights = np.exp(log_weights(curve, grid)) / max(float(mean), 1e-300)
            opacity = (1 + place) / len(chosen)
            name = f"step {row['step']}"
            axes.plot(grid, weights, color=BLUE, alpha=opacity, linewidth=2, label=name)
        axes.axhline(1, color=SOFT, linewidth=1, linestyle=":")
        label(axes, "loss of the sample (nats), from the 5th to the 95th percentile", "weight")
        axes.legend()

    return svg(draw, alt="The learned V against the loss at several steps of the run")


def frequency_scatter(by_concept: Sequence[Row], by_frequency: dict[str, Row]) -> str:
    """R@1 by concept frequency: thirds of the concepts with 95 % intervals, and each concept."""

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, width_ratios=[2, 3])
        names = list(by_frequency)
        rates = np.array([by_frequency[n]["R@1"] for n in names])
        counts = np.array([by_frequency[n]["num_queries"] for n in names])
        low, high = wilson(rates / 100, counts)
        errors = np.abs(np.stack([rates - 100 * low, 100 * high - rates]))
        left.bar(names, rates, color=[BLUE, GREEN, ORANGE][: len(names)], width=0.6)
        left.errorbar(names, rates, yerr=errors, fmt="none", ecolor=INK, capsize=4)
        label(left, "thirds of the concepts", "R@1, text to video (%)")
        x = [max(row["num_before"], 0.5) for row in by_concept]
        y = [row["R@1"] for row in by_concept]
        sizes = [8 + 3 * row["num_queries"] for row in by_concept]
        right.scatter(x, y, s=sizes, color=BLUE, alpha=0.6, linewidths=0)
        right.set_xscale("log")
        whole_numbers(right.xaxis)
        label(right, "training captions of the concept, before balancing", "")
        for axes in (left, right):
            axes.set_ylim(-2, 105)

    return svg(draw, alt="R@1 by how often training captions mention the concept", width=8.4)


def net_diagnostics(steps: Sequence[Row]) -> str:
    """The weight net's health: range of weights, size of its gradient, corr(s, ω)."""

    def draw(figure: Figure) -> None:
        left, middle, right = figure.subplots(1, 3)
        x = [row["step"] for row in steps]
        low = [row["weight_min"] for row in steps]
        high = [row["weight_max"] for row in steps]
        left.fill_between(x, low, high, color=BLUE, alpha=0.35, linewidth=0)
        left.axhline(1, color=SOFT, linewidth=1, linestyle=":")
        label(left, "step", "weights in the batch (1 = average)")
        x, y = _series(steps, "meta_norm")
        middle.plot(x, y, color=BLUE, alpha=0.25, linewidth=1)
        middle.plot(x, smooth(y), color=BLUE, linewidth=2)
        if len(y) and (y > 0).any():
            middle.set_yscale("log")
        label(middle, "step", "‖dL_meta/dθ‖")
        x, y = _series(steps, "corr_s_weight")
        right.plot(x, y, color=BLUE, alpha=0.25, linewidth=1)
        right.plot(x, smooth(y), color=BLUE, linewidth=2)
        right.axhline(0, color=SOFT, linewidth=1, linestyle=":")
        right.set_ylim(-1, 1)
        label(right, "step", "correlation of s with the weight")

    return svg(
        draw,
        alt="Weights, gradient of the weight net, and correlation of s with the weight, per step",
        width=9.6,
        height=3.0,
    )


def smooth(values: Floats, *, share: float = 0.05) -> Floats:
    """Centred running mean over about `share` of the values."""
    width = max(1, int(len(values) * share))
    if width == 1:
        return values
    kernel = np.ones(width)
    return np.convolve(values, kernel, "same") / np.convolve(np.ones_like(values), kernel, "same")


def wilson(rate: Floats, count: Floats | NDArray[np.int64]) -> tuple[Floats, Floats]:
    """The 95 % Wilson score interval of each share that was measured on `count` trials."""
    from scipy.stats import binomtest

    found = [
        binomtest(round(r * n), n).proportion_ci(method="wilson")
        for r, n in zip(rate.tolist(), count.tolist(), strict=True)
    ]
    return np.array([f.low for f in found]), np.array([f.high for f in found])


def _series(rows: Sequence[Row], name: str) -> tuple[Any, Floats]:
    found = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
    return [x for x, _ in found], np.array([y for _, y in found], np.float64)
