"""How frames of any shape lie on a grid of any model."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mama_augment.caption.input.layout import GridLayout, PictureSize, arrange

LLAVA = PictureSize(width_px=336, height_px=336)
QWEN = PictureSize(width_px=768, height_px=768, step_px=32)


def shown_px(number: int, frame: tuple[int, int], size: PictureSize, layout: str | None) -> float:
    """Pixels of the picture that one frame covers."""
    given = GridLayout.parse(layout) if layout else None
    found, (width, height) = arrange(number, frame, size, given)
    scale = min(width // found.columns / frame[0], height // found.rows / frame[1])
    return scale * frame[0] * scale * frame[1]


@pytest.mark.parametrize(
    ("number", "frame", "layout"),
    [
        (12, (455, 256), "4x3"),  # 16:9
        (12, (341, 256), "4x3"),  # 4:3
        (12, (256, 256), "3x4"),  # square: the paper's
        (12, (256, 455), "3x4"),  # upright
        (4, (455, 256), "2x2"),
        (1, (455, 256), "1x1"),
        (8, (455, 256), "4x2"),
        (16, (455, 256), "6x3"),  # larger than in 4x4, although two cells stay empty
    ],
)
def test_a_picture_of_fixed_size_gets_the_layout_with_the_largest_frames(
    number: int, frame: tuple[int, int], layout: str
) -> None:
    found, size_px = arrange(number, frame, LLAVA, None)
    assert (str(found), size_px) == (layout, (336, 336))
    best = shown_px(number, frame, LLAVA, None)
    others = [
        shown_px(number, frame, LLAVA, f"{-(-number // columns)}x{columns}")
        for columns in range(1, number + 1)
    ]
    assert best == pytest.approx(max(others))


def test_wide_frames_are_seen_with_three_quarters_more_pixels_than_in_the_papers_layout() -> None:
    ratio = shown_px(12, (455, 256), LLAVA, None) / shown_px(12, (455, 256), LLAVA, "3x4")
    assert ratio == pytest.approx((112 / 84) ** 2)


@settings(deadline=None)
@given(
    number=st.integers(1, 32),
    frame=st.tuples(st.integers(32, 1000), st.integers(32, 1000)),
    step=st.sampled_from([14, 28, 32]),
)
def test_a_picture_of_any_shape_keeps_to_its_budget_and_to_the_frames_shape(
    number: int, frame: tuple[int, int], step: int
) -> None:
    size = PictureSize(width_px=24 * step, height_px=24 * step, step_px=step)
    found, (width, height) = arrange(number, frame, size, None)
    assert found.num_cells >= number
    assert found.num_cells - number <= max(number // 8, 0) or found.rows == 1 or found.columns == 1
    assert width * height <= size.width_px * size.height_px or min(width, height) <= step
    # Frames are not enlarged by more than what rounding to whole steps gives.
    assert width <= found.columns * frame[0] + step
    assert height <= found.rows * frame[1] + step


def test_cells_of_any_shape_have_next_to_no_black() -> None:
    for frame in ((455, 256), (256, 455), (341, 256), (256, 256)):
        found, (width, height) = arrange(12, frame, QWEN, None)
        assert (width % 32, height % 32) == (0, 0)
        share = 12 * shown_px(12, frame, QWEN, None) / (width * height)
        assert share > 0.9, (frame, str(found), width, height)
        assert width * height > 0.85 * 768 * 768


def test_a_layout_that_is_asked_for_is_kept() -> None:
    asked = GridLayout(rows=2, columns=6)
    assert arrange(12, (455, 256), LLAVA, asked) == (asked, (336, 336))
    found, (width, height) = arrange(12, (455, 256), QWEN, asked)
    assert found == asked
    assert width / height == pytest.approx(6 * 455 / (2 * 256), rel=0.1)
    assert math.sqrt(width * height) <= 768
