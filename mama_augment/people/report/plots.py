"""The charts of a training set's report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from mama_augment.core.shared.charts import BLUE, GREY, ORANGE, label, svg, whole_numbers

MAX_LABELS = 12


def rank_curve(before: Sequence[int], after: Sequence[int]) -> str:
    """Visits per concept, most frequent first, both axes logarithmic."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for values, colour in ((before, GREY), (after, BLUE)):
            visits = sorted((value for value in values if value > 0), reverse=True)
            axes.loglog(range(1, len(visits) + 1), visits, color=colour, linewidth=2.5)
        axes.minorticks_off()
        for axis in (axes.xaxis, axes.yaxis):
            whole_numbers(axis)
        label(axes, "concepts by rank (log)", "visits per epoch (log)")

    alt = "Visits per concept, most frequent first, before and after balancing"
    return svg(draw, alt=alt)


def words_per_text(share_percent: Mapping[str, Sequence[float]], bins: Sequence[str]) -> str:
    """Share of texts in each bin of numbers of words: given and generated side by side."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        places = np.arange(len(bins))
        axes.bar(places - 0.2, share_percent["given"], 0.4, color=ORANGE)
        axes.bar(places + 0.2, share_percent["generated"], 0.4, color=BLUE)
        shown = slice(None, None, max(1, -(-len(bins) // MAX_LABELS)))
        axes.set_xticks(places[shown], bins[shown])
        axes.grid(visible=False, axis="x")
        label(axes, "words", "share of texts (%)")

    alt = "Share of texts by number of words: given texts and generated captions"
    return svg(draw, alt=alt)
