"""Reading order, letterboxing and sizes of grids."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mama_augment.caption.input.grid import compose_grid, decode_for_cell, even_indices
from mama_augment.caption.input.layout import GridLayout
from mama_augment.core.errors import InputError
from mama_augment.core.shared.jpeg import BrokenFrameError, decode_jpeg

COLOURS = np.random.default_rng(0).integers(40, 256, (12, 3)).astype(np.uint8)


def flat(colour: np.ndarray, height: int = 90, width: int = 160) -> np.ndarray:
    return np.broadcast_to(colour, (height, width, 3)).copy()


def test_cells_hold_their_frames_in_reading_order() -> None:
    grid = compose_grid([flat(c, 84 * 2, 112 * 2) for c in COLOURS], 3, 4, (448, 252))
    for index, colour in enumerate(COLOURS):
        row, column = divmod(index, 4)
        cell = grid[row * 84 : (row + 1) * 84, column * 112 : (column + 1) * 112]
        assert (cell == colour).all(), f"cell {index}"


def test_a_missing_frame_leaves_its_cell_black_and_moves_no_other() -> None:
    full = compose_grid([flat(c) for c in COLOURS], 3, 4, (336, 336))
    short = compose_grid([flat(c) for c in COLOURS[:10]], 3, 4, (336, 336))
    assert not short[224:, 168:].any()
    short[224:, 168:] = full[224:, 168:]
    assert (short == full).all()


def test_a_frame_keeps_its_aspect_ratio_between_black_bars() -> None:
    grid = compose_grid([flat(np.array([255, 255, 255], np.uint8), 90, 160)], 1, 1, (320, 320))
    lit = np.flatnonzero(grid.any(axis=(1, 2)))
    assert (lit[0], lit[-1] + 1) == (70, 250)
    assert grid[70:250].all()


def test_an_array_and_a_list_make_the_same_grid() -> None:
    frames = np.random.default_rng(1).integers(0, 256, (4, 50, 60, 3)).astype(np.uint8)
    assert (
        compose_grid(frames, 2, 2, (64, 64)) == compose_grid(list(frames), 2, 2, (64, 64))
    ).all()


@given(
    st.integers(1, 4),
    st.integers(1, 5),
    st.tuples(st.integers(20, 130), st.integers(20, 130)),
    st.lists(st.tuples(st.integers(1, 90), st.integers(1, 90)), max_size=4),
)
def test_any_sizes_make_a_grid_of_the_wanted_size(
    rows: int, columns: int, size_px: tuple[int, int], frame_sizes: list[tuple[int, int]]
) -> None:
    frames = [np.full((h, w, 3), 200, np.uint8) for h, w in frame_sizes[: rows * columns]]
    grid = compose_grid(frames, rows, columns, size_px)
    assert grid.shape == (size_px[1], size_px[0], 3)
    assert grid.any() == bool(frames)


def test_too_many_frames_are_refused() -> None:
    with pytest.raises(InputError, match="5 frames do not fit into a 2x2 grid"):
        compose_grid([flat(COLOURS[0])] * 5, 2, 2, (64, 64))


@pytest.mark.parametrize("text", ["3", "3x", "axb", "3x4x5", "0x4", "-1x2", ""])
def test_a_layout_that_is_none_is_refused_with_the_value(text: str) -> None:
    with pytest.raises(InputError, match="--grid is"):
        GridLayout.parse(text)


def test_a_layout_reads_and_prints_alike() -> None:
    assert GridLayout.parse("3x4") == GridLayout() == GridLayout(rows=3, columns=4)
    assert str(GridLayout.parse("2X5")) == "2x5"


@given(st.integers(1, 300), st.integers(1, 40))
def test_spread_indices_are_distinct_sorted_and_inside(num_items: int, num_wanted: int) -> None:
    indices = even_indices(num_items, num_wanted)
    assert len(indices) == min(num_items, num_wanted)
    assert indices == sorted(set(indices))
    assert indices[0] >= 0
    assert indices[-1] < num_items
    if num_wanted > 1:
        assert (indices[0], indices[-1]) == (0, num_items - 1)


def smooth_picture() -> np.ndarray:
    small = np.random.default_rng(2).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return cv2.resize(small, (480, 360), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


@pytest.mark.parametrize(("cell_px", "factor"), [((200, 150), 1), ((112, 84), 2), ((40, 30), 4)])
def test_a_frame_is_decoded_no_larger_than_its_cell_needs(
    cell_px: tuple[int, int], factor: int
) -> None:
    picture = smooth_picture()
    encoded = bytes(cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1])
    decoded = decode_for_cell(encoded, cell_px)
    assert decoded.shape == (360 // factor, 480 // factor, 3)
    whole = compose_grid([decode_jpeg(encoded)], 1, 1, cell_px)
    reduced = compose_grid([decoded], 1, 1, cell_px)
    assert np.abs(whole.astype(int) - reduced).mean() < 2


def test_colours_survive_decoding_in_their_order() -> None:
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 255
    encoded = bytes(cv2.imencode(".jpg", cv2.cvtColor(red, cv2.COLOR_RGB2BGR))[1])
    for cell_px in ((64, 64), (16, 16)):
        pixels = decode_for_cell(encoded, cell_px)
        assert pixels[..., 0].min() > 240
        assert pixels[..., 1:].max() < 15


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff", b"plain text"])
def test_bytes_that_are_no_picture_are_refused(content: bytes) -> None:
    with pytest.raises(BrokenFrameError, match="no picture"):
        decode_jpeg(content)
