"""Charts as inline SVG: drawn by matplotlib, coloured by the page that shows them.

Text stays text. Colours are the variables of `page.css`, so that a chart reads on a light and on a
dark page alike. The same data give the same bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from html import escape

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, GREY = "#2563a8", "#c4702b", "#1f7a45", "#a9b2bf"
"""For data: draw with these, and the page decides how they look."""
INK, SOFT, LINE = "#1d2330", "#5b6472", "#e2e5ea"
"""For strong marks, for labels and axes, for grid lines."""

VARIABLES = {
    BLUE: "--blue",
    ORANGE: "--orange",
    GREEN: "--green",
    GREY: "--grey",
    INK: "--ink",
    SOFT: "--soft",
    LINE: "--line",
}
STYLE = {
    "font.size": 10,
    "font.family": "sans-serif",
    "svg.fonttype": "none",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": LINE,
    "axes.axisbelow": True,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": SOFT,
    "text.color": SOFT,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "legend.frameon": False,
}


def svg(
    draw: Callable[[Figure], None], *, alt: str, width: float = 6.4, height: float = 3.4
) -> str:
    """Draw a figure, `width` by `height` inches at most, and return it as an `<svg>` element.

    alt: what the chart shows, for those who cannot see it; differs between charts of a page.
    """
    # Ids are hashes with this salt: of no two charts the same, and in every run the same.
    with rc_context({**STYLE, "svg.hashsalt": alt}):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    text = stream.getvalue()
    body = text[text.index(">", text.index("<svg")) + 1 :]
    return (
        f'<svg class="chart" width="{72 * width:g}pt" viewBox="0 0 {72 * width:g} {72 * height:g}" '
        f'xmlns:xlink="http://www.w3.org/1999/xlink" role="img" aria-label="{escape(alt)}">'
        f"{_for_a_page(body)}"
    )


def label(axes: Axes, x: str, y: str) -> None:
    """Name both axes, with units."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def whole_numbers(axis: Axis) -> None:
    """Write a logarithmic axis' powers of ten out."""
    axis.set_major_formatter(lambda value, place: f"{value:,g}")


def _for_a_page(body: str) -> str:
    """Without what is about a file of its own, or would leak into the page around it."""
    for pattern in (r"<metadata>.*?</metadata>", r"<style.*?</style>", r"<!--.*?-->"):
        body = re.sub(pattern, "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)  # every chart has a figure_1
    body = re.sub(r"font-family: [^;\"]*", "font-family: inherit", body)
    for colour, variable in VARIABLES.items():
        body = body.replace(colour, f"var({variable})")
    return re.sub(r"\n\s*", "\n", body)
