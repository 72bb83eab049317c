"""What a caption says can be seen in the frames, also after H.264."""

from __future__ import annotations

import io
from itertools import pairwise

import av
import numpy as np
import numpy.typing as npt
import pytest

from mama_augment.core.draws import Draws
from mama_augment.shapes.world.encode import Coding, draw_coding, write_h264
from mama_augment.shapes.world.render import Image, object_state, render_clip, render_frame, shot_at
from mama_augment.shapes.world.scene import COLOURS, MOTION_PAIRS, MOTIONS, SHAPES, Scene
from mama_augment.shapes.world.take import FPS, HEIGHT_PX, WIDTH_PX, Take, draw_take


def make_take(seed: int, **changes: str) -> Take:
    scene = {
        "colour": "red",
        "shape": "circle",
        "first_motion": "moves left",
        "second_motion": "moves down",
    }
    return draw_take(Scene(**{**scene, **changes}), Draws((seed,)))


def encoded(take: Take, coding: Coding) -> bytes:
    buffer = io.BytesIO()
    write_h264(buffer, render_clip(take), coding, fps=FPS)
    return buffer.getvalue()


def decoded(data: bytes) -> list[Image]:
    with av.open(io.BytesIO(data)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def blob(frame: Image) -> tuple[float, float, float]:
    """Centre x, y and area, in pixels, of what is vividly coloured."""
    values = frame.astype(np.int16)
    mask = values.max(axis=2) - values.min(axis=2) > 110
    y, x = np.nonzero(mask)
    return float(x.mean()), float(y.mean()), float(mask.sum())


def change(before: Image, after: Image, motion: str) -> float:
    """How much of `motion` happened between two frames: pixels, or the factor of area."""
    (x0, y0, a0), (x1, y1, a1) = blob(before), blob(after)
    return {
        "moves left": x0 - x1,
        "moves right": x1 - x0,
        "moves up": y0 - y1,
        "moves down": y1 - y0,
        "grows": 20 * a1 / a0,
        "shrinks": 20 * a0 / a1,
    }[motion]


@pytest.mark.parametrize("first", MOTIONS)
def test_both_motions_show_in_the_decoded_file_in_order(first: str) -> None:
    second = MOTIONS[(MOTIONS.index(first) + 2) % len(MOTIONS)]
    for seed in range(3):
        take = make_take(seed, first_motion=first, second_motion=second)
        frames = decoded(encoded(take, draw_coding(Draws((seed, "coding")))))
        middle = len(frames) // 2
        # 40 px is a fifth of the width; a factor of 2 in area counts the same.
        assert change(frames[0], frames[middle], first) > 40
        assert change(frames[middle], frames[-1], second) > 40


@pytest.mark.parametrize("shape", SHAPES)
def test_objects_are_large_and_stay_in_the_frame(shape: str) -> None:
    for seed in range(len(MOTION_PAIRS)):
        first, second = MOTION_PAIRS[seed]
        take = make_take(seed, shape=shape, first_motion=first, second_motion=second)
        for index in range(take.num_frames):
            x, y, diameter = object_state(take, index)
            assert 0.26 < diameter < 0.61
            assert 0.35 * diameter < x < 1 - 0.35 * diameter
            assert 0.35 * diameter < y < HEIGHT_PX / WIDTH_PX - 0.35 * diameter


def test_colours_are_told_apart_by_their_pixels() -> None:
    means: dict[str, npt.NDArray[np.float64]] = {}
    for colour in COLOURS:
        take = make_take(1, colour=colour, shape="square")
        x, y, _ = object_state(take, 0)
        frame = render_frame(take, 0)
        row, column = round(y * WIDTH_PX), round(x * WIDTH_PX)
        means[colour] = frame[row - 8 : row + 8, column - 8 : column + 8].mean(axis=(0, 1))
    for one in COLOURS:
        for other in COLOURS:
            assert one == other or np.abs(means[one] - means[other]).max() > 50, (one, other)


def test_shots_change_the_background_at_the_cut() -> None:
    take = next(t for t in (make_take(seed) for seed in range(30)) if len(t.shots) == 3)
    cut = take.shots[1].first_frame
    assert shot_at(take, cut - 1) == take.shots[0]
    assert shot_at(take, cut) == take.shots[1]
    corner = [render_frame(take, cut + k)[:6].astype(float) for k in (-2, -1, 0)]
    across = np.abs(corner[2] - corner[1]).mean()
    assert across > 3 * np.abs(corner[1] - corner[0]).mean()


def test_frames_are_uint8_rgb_and_a_function_of_the_take() -> None:
    frame = render_frame(make_take(4), 7)
    assert frame.shape == (HEIGHT_PX, WIDTH_PX, 3)
    assert frame.dtype == np.uint8
    np.testing.assert_array_equal(frame, render_frame(make_take(4), 7))
    assert (frame != render_frame(make_take(5), 7)).any()


def test_bytes_repeat_whatever_the_memory_held_before() -> None:
    takes = [make_take(seed) for seed in range(4)]
    codings = [Coding(crf=25, gop_frames=24, num_b_frames=b) for b in (0, 2)]
    seen: dict[tuple[int, int], bytes] = {}
    for turn in range(3):
        litter = [np.full(50_000 + 7000 * k, 85 * turn, np.uint8) for k in range(80)]
        del litter[::2]
        for i, take in enumerate(takes):
            for k, coding in enumerate(codings):
                data = encoded(take, coding)
                assert seen.setdefault((i, k), data) == data


def test_files_are_h264_with_the_gop_asked_for() -> None:
    take, coding = make_take(3), Coding(crf=23, gop_frames=12, num_b_frames=2)
    data = encoded(take, coding)
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert (stream.width, stream.height) == (WIDTH_PX, HEIGHT_PX)
        assert stream.average_rate == FPS
        packets = [packet for packet in container.demux(stream) if packet.size]
    keys = [packet.pts * packet.time_base * FPS for packet in packets if packet.is_keyframe]
    assert len(packets) == take.num_frames
    assert max(b - a for a, b in pairwise(keys)) <= 12
