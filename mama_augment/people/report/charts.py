"""Two small charts as inline SVG, coloured by the page's own variables (light and dark)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 640, 260
LEFT, BOTTOM, TOP, RIGHT = 52, 40, 10, 12


def columns(
    series: Mapping[str, Sequence[float]], labels: Sequence[str], *, x: str, y: str, alt: str
) -> str:
    """Grouped columns: one group per label, one column per series."""
    top = max((value for values in series.values() for value in values), default=0) or 1
    plot = _Plot(top, alt)
    step = plot.width / max(1, len(labels))
    bar = 0.8 * step / max(1, len(series))
    parts = plot.frame(x, y)
    for number, (name, values) in enumerate(series.items()):
        for i, value in enumerate(values):
            if value:
                left = LEFT + i * step + 0.1 * step + number * bar
                height = value / top * plot.height
                parts.append(
                    f'<rect class="s{number}" x="{left:.1f}" y="{plot.bottom - height:.1f}" '
                    f'width="{bar:.1f}" height="{height:.1f}"><title>{escape(name)}, '
                    f"{escape(labels[i])}: {value:.1f}</title></rect>"
                )
    every = max(1, math.ceil(len(labels) / 12))
    for i in range(0, len(labels), every):
        centre = LEFT + (i + 0.5) * step
        parts.append(
            f'<text x="{centre:.1f}" y="{plot.bottom + 15}" text-anchor="middle">'
            f"{escape(labels[i])}</text>"
        )
    return plot.svg(parts)


def rank_curve(series: Mapping[str, Sequence[int]], *, alt: str) -> str:
    """Visits per concept, most frequent first, both axes logarithmic."""
    top = max((max(values, default=0) for values in series.values()), default=0) or 1
    length = max((len(values) for values in series.values()), default=0)
    plot = _Plot(math.log10(max(10, top)), alt, power=True)
    across = math.log10(max(10, length))
    parts = plot.frame("concepts by rank (log)", "visits per epoch (log)")
    for number, values in enumerate(series.values()):
        ordered = sorted((value for value in values if value > 0), reverse=True)
        points = " ".join(
            f"{LEFT + math.log10(rank) / across * plot.width:.1f},"
            f"{plot.bottom - math.log10(value) / plot.top * plot.height:.1f}"
            for rank, value in enumerate(ordered, 1)
        )
        parts.append(f'<polyline class="l{number}" points="{points}"/>')
    for power in range(math.floor(across) + 1):
        left = LEFT + power / across * plot.width
        parts.append(
            f'<text x="{left:.1f}" y="{plot.bottom + 15}" text-anchor="middle">{10**power:,}</text>'
        )
    return plot.svg(parts)


class _Plot:
    """Frame, grid lines and vertical axis of a chart; `power`: the axis shows powers of ten."""

    def __init__(self, top: float, alt: str, *, power: bool = False) -> None:
        self.top, self.alt, self.power = top, alt, power
        self.width, self.height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
        self.bottom = HEIGHT - BOTTOM

    def frame(self, x: str, y: str) -> list[str]:
        parts = []
        ticks = range(math.floor(self.top) + 1) if self.power else _ticks(self.top)
        for tick in ticks:
            height = self.bottom - tick / self.top * self.height
            label = f"{10**tick:,}" if self.power else f"{tick:g}"
            parts.append(
                f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{height:.1f}" '
                f'y2="{height:.1f}"/><text x="{LEFT - 7}" y="{height + 4:.1f}" '
                f'text-anchor="end">{label}</text>'
            )
        middle = TOP + self.height / 2
        parts.append(
            f'<text x="{LEFT + self.width / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x)}'
            f'</text><text transform="translate(12 {middle}) rotate(-90)" text-anchor="middle">'
            f"{escape(y)}</text>"
        )
        return parts

    def svg(self, parts: Sequence[str]) -> str:
        return (
            f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="{escape(self.alt)}">{"".join(parts)}</svg>'
        )


def _ticks(top: float) -> list[float]:
    """About four round steps from zero to at most `top`."""
    size = 10 ** math.floor(math.log10(top / 4)) if top > 0 else 1
    step = next(size * factor for factor in (1, 2, 5, 10) if top / (size * factor) <= 5)
    return [i * step for i in range(int(top / step) + 1)]
