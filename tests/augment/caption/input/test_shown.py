"""What a model is shown of a clip, and when it is told that each frame is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mama_augment.caption.input.layout import PictureSize
from mama_augment.caption.input.present import show
from mama_augment.caption.input.shown import MOST_SHOWN, Shown, parts_of
from mama_augment.core.shared.jpeg import BrokenFrameError

SIZE = PictureSize(width_px=64, height_px=64)


def jpeg(grey: int, width: int = 64, height: int = 32) -> bytes:
    return cv2.imencode(".jpg", np.full((height, width, 3), grey, np.uint8))[1].tobytes()


def shown(input: str, frames: list[bytes], seconds: list[float]) -> Shown:
    return show(frames, seconds, input=input, layout=None, size=SIZE)


@pytest.mark.parametrize("input", ["images", "video"])
def test_frames_come_one_by_one_with_their_times(input: str) -> None:
    found = shown(input, [jpeg(10), jpeg(90), jpeg(200)], [0.0, 0.5004, 2.25])
    assert [int(image.mean()) for image in found.images] == pytest.approx([10, 90, 200], abs=2)
    assert found.seconds == (0.0, 0.5, 2.25)
    assert all(image.shape == (32, 64, 3) for image in found.images)


def test_a_grid_is_one_picture_without_times() -> None:
    found = shown("grid", [jpeg(10), jpeg(90)], [])
    assert len(found.images) == 1
    # Two wide frames: one above the other.
    assert int(found.images[0][10].mean()) == pytest.approx(10, abs=2)
    assert int(found.images[0][50].mean()) == pytest.approx(90, abs=2)


def test_a_video_has_one_size_even_where_the_stream_changed_it() -> None:
    found = shown("video", [jpeg(100, 64, 32), jpeg(100, 32, 64)], [0.0, 1.0])
    assert {image.shape for image in found.images} == {(32, 64, 3)}
    upright = found.images[1]
    assert upright[:, :20].max() == 0  # black beside it, not stretched
    assert int(upright[:, 28:36].mean()) == pytest.approx(100, abs=2)
    kept = shown("images", [jpeg(100, 64, 32), jpeg(100, 32, 64)], [0.0, 1.0])
    assert [image.shape for image in kept.images] == [(32, 64, 3), (64, 32, 3)]


def test_of_many_frames_an_even_choice_is_shown() -> None:
    found = shown("images", [jpeg(3 * i) for i in range(80)], [float(i) for i in range(80)])
    assert len(found.images) == MOST_SHOWN
    assert (found.seconds[0], found.seconds[-1]) == (0.0, 79.0)
    steps = np.diff(found.seconds)
    assert set(steps) <= {2.0, 3.0}


def test_a_broken_frame_is_named() -> None:
    for input in ("grid", "images", "video"):
        with pytest.raises(BrokenFrameError, match="key frame 1 is no picture"):
            shown(input, [jpeg(1), b"nothing"], [0.0, 1.0])


def test_the_clock_says_each_time_to_the_millisecond_and_the_true_rate() -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    found = Shown(input="video", images=(picture,) * 4, seconds=(0.2, 1.2, 2.2, 3.2)).clock()
    assert [i / found["fps"] for i in found["frames_indices"]] == [0.2, 1.2, 2.2, 3.2]
    assert len(found["frames_indices"]) / found["duration"] == 1.0  # a frame a second
    assert max(found["frames_indices"]) < found["total_num_frames"]
    alone = Shown(input="video", images=(picture,), seconds=(0.0,)).clock()
    assert (alone["total_num_frames"], alone["duration"]) == (1000, 1.0)


def test_each_image_of_several_stands_behind_its_time() -> None:
    found = shown("images", [jpeg(1), jpeg(2)], [0.0, 1.54])
    kinds = [(kind, value if kind == "text" else None) for kind, value in parts_of(found, "What?")]
    assert kinds == [
        ("text", "Frame at 0.0 s:"),
        ("image", None),
        ("text", "Frame at 1.5 s:"),
        ("image", None),
        ("text", "What?"),
    ]
