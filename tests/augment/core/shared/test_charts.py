"""Charts as they stand in a page: text, the page's own colours, the same bytes every time."""

from __future__ import annotations

import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from mama_augment.core.shared import charts
from mama_augment.people.report.plots import rank_curve, words_per_text


def heights_of(chart: str, variable: str) -> list[float]:
    """Heights of the filled rectangles of one colour."""
    paths = re.findall(rf'<path d="([^"]+)"[^>]*style="fill: var\({variable}\)', chart)
    ys = [[float(y) for y in re.findall(r"[ML] [\d.]+ ([\d.]+)", path)] for path in paths]
    return [max(y) - min(y) for y in ys]


def test_columns_are_as_high_as_their_shares() -> None:
    chart = words_per_text({"given": [1, 4], "generated": [0, 2]}, ["1-2", "3-4"])
    (one, four), (none, two) = heights_of(chart, "--orange"), heights_of(chart, "--blue")
    assert [one / four, two / four, none] == pytest.approx([1 / 4, 1 / 2, 0], abs=1e-4)
    assert ">1-2</text>" in chart
    assert ">share of texts (%)</text>" in chart


def test_ranks_fall_on_a_straight_line_where_they_follow_a_power_law() -> None:
    chart = rank_curve([100, 10, 1, 0], [])
    (path,) = re.findall(r'<path d="([^"]+)"[^>]*style="fill: none; stroke: var\(--grey\)', chart)
    points = np.array(re.findall(r"[ML] ([\d.]+) ([\d.]+)", path), float)
    assert len(points) == 3, "what is never visited has no place on a logarithmic axis"
    assert np.diff(points[:, 1]) == pytest.approx(np.diff(points[:, 1]).mean(), abs=0.01)
    assert np.log([2, 3]) / np.log(3) * np.ptp(points[:, 0]) == pytest.approx(
        points[1:, 0] - points[0, 0], abs=0.01
    )


def test_charts_without_data_are_drawn_empty() -> None:
    for chart in (rank_curve([], []), words_per_text({"given": [], "generated": []}, [])):
        assert chart.startswith("<svg")
        assert chart.rstrip().endswith("</svg>")


def draw(figure: Figure) -> None:
    axes = figure.add_subplot()
    axes.plot([1, 2], [1, 2], color=charts.BLUE, marker="o", label="a < b")
    axes.legend()


def test_every_colour_is_the_pages_and_nothing_leaks_into_it() -> None:
    chart = charts.svg(draw, alt="two < three")
    assert not re.search(r"#[0-9a-f]{6}\b", chart)
    assert "<style" not in chart
    assert "metadata" not in chart
    assert 'aria-label="two &lt; three"' in chart
    assert "a &lt; b</text>" in chart
    assert "font-family: inherit" in chart
    assert "DejaVu" not in chart


def test_the_same_data_give_the_same_bytes_and_no_two_charts_share_an_id() -> None:
    chart = charts.svg(draw, alt="one")
    assert chart == charts.svg(draw, alt="one")
    ids = [set(re.findall(r' id="([^"]+)"', c)) for c in (chart, charts.svg(draw, alt="two"))]
    assert ids[0]
    assert not ids[0] & ids[1]
    used = set(re.findall(r'xlink:href="#([^"]+)"|url\(#([^)]+)\)', chart))
    assert {name for pair in used for name in pair if name} <= ids[0]
