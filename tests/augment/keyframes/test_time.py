"""Whatever the container does with time, a row's index, time and picture are of one frame."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from mama_augment.decode.errors import ClipError
from mama_augment.keyframes.strategies import STRATEGIES
from tests.augment.numbered import extract, numbered_picture, read_number, write_numbered

NUM_FRAMES = 60
ONE_GROUP = {"x264-params": "keyint=1000:scenecut=0"}
OPEN_GROUPS = {"x264-params": "keyint=12:min-keyint=12:scenecut=0:open-gop=1:bframes=3"}
CLOSED_GROUPS = {"x264-params": "keyint=12:min-keyint=12:scenecut=0:bframes=3"}

FILES: dict[str, dict[str, Any]] = {
    "one-group.mp4": {"options": ONE_GROUP},
    "open-groups.mp4": {"options": OPEN_GROUPS},
    "closed-groups.mkv": {"options": CLOSED_GROUPS},
    "transport-stream.ts": {},
    "fragmented.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "starts-late.mp4": {"seconds": lambda index: 3 + index / 25},
    "variable-rate.mp4": {"seconds": lambda index: index * index / 1000 + index / 30},
    "variable-rate.mkv": {"seconds": lambda index: index * index / 1000 + index / 30},
    "h264-with-b-frames.avi": {},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mpeg4-with-b-frames.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "motion-jpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": {"bf": "2"}},
    "no-container.h264": {"format": "h264"},
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=12"}},
    "vp8.webm": {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "16"}},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "animation.gif": {"codec": "gif", "pix_fmt": "rgb8"},
    "ten-bit.mp4": {"pix_fmt": "yuv420p10le"},
    "full-range.mp4": {"pix_fmt": "yuvj420p"},
    "odd-size.mp4": {"size": (161, 97), "pix_fmt": "yuv444p"},
    "interlaced.mp4": {"options": {"x264-params": "tff=1"}},
}


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Writes each file once."""
    folder = tmp_path_factory.mktemp("time")

    def make(name: str) -> Path:
        path = folder / name
        return path if path.exists() else write_numbered(path, NUM_FRAMES, **FILES[name])

    return make


@pytest.mark.parametrize("strategy", ["peaks", "uniform"])
@pytest.mark.parametrize("name", FILES)
def test_decord_gives_the_same_frames(
    make: Callable[[str], Path], name: str, strategy: str
) -> None:
    pytest.importorskip("decord")
    clip = extract(make(name), strategy=strategy, decoder="decord", start=0.2)
    first = NUM_FRAMES - clip.num_frames
    assert len(set(clip.frame_index)) == 6
    assert [read_number(jpeg) - first for jpeg in clip.frames] == clip.frame_index
    if strategy == "uniform":
        by_av = extract(make(name), strategy="uniform", start=0.2)
        assert clip.frame_seconds == by_av.frame_seconds


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", FILES)
def test_index_time_and_picture_agree(
    make: Callable[[str], Path], name: str, strategy: str
) -> None:
    clip = extract(make(name), strategy=strategy)
    assert len(set(clip.frame_index)) == 6
    assert [read_number(jpeg) for jpeg in clip.frames] == clip.frame_index
    assert clip.num_frames == NUM_FRAMES
    shown_at = FILES[name].get("seconds", lambda index: index / 25)
    expected = [shown_at(index) - shown_at(0) for index in clip.frame_index]
    assert np.allclose(clip.frame_seconds, expected, atol=2e-3)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    "name",
    [
        "one-group.mp4",
        "open-groups.mp4",
        "starts-late.mp4",
        "vp9.webm",
        "hevc.mp4",
        "h264-with-b-frames.avi",
        "transport-stream.ts",
    ],
)
def test_spans_count_from_their_first_frame_and_keep_the_clock_of_the_video(
    make: Callable[[str], Path], name: str, strategy: str
) -> None:
    clip = extract(make(name), strategy=strategy, start=0.68, end=1.48)
    assert clip.num_frames == 20
    assert [read_number(jpeg) - 17 for jpeg in clip.frames] == clip.frame_index
    expected = [0.68 + index / 25 for index in clip.frame_index]
    assert np.allclose(clip.frame_seconds, expected, atol=2e-3)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_adjacent_spans_share_no_frame_and_lose_none(
    make: Callable[[str], Path], strategy: str
) -> None:
    path = make("open-groups.mp4")
    edges = [0.0, 0.5, 0.57, 1.311, None]
    clips = [
        extract(path, strategy=strategy, num_frames=60, start=start, end=end)
        for start, end in pairwise(edges)
    ]
    assert [read_number(j) for clip in clips for j in clip.frames] == list(range(NUM_FRAMES))


def test_an_edit_list_hides_frames(tmp_path: Path) -> None:
    path = write_numbered(
        tmp_path / "edit.mp4",
        NUM_FRAMES,
        seconds=lambda index: (index - 10) / 25,
        container_options={"use_editlist": "1", "avoid_negative_ts": "disabled"},
    )
    for strategy in STRATEGIES:
        clip = extract(path, strategy=strategy)
        assert clip.num_frames == 50
        assert [read_number(j) - 10 for j in clip.frames] == clip.frame_index
        assert np.allclose(clip.frame_seconds, np.array(clip.frame_index) / 25, atol=2e-3)


def test_rotation_turns_the_picture_as_a_phone_means_it(tmp_path: Path) -> None:
    path = write_numbered(
        tmp_path / "phone.mp4", 5, prepare=lambda stream: stream.set_display_rotation(-90)
    )
    content = path.read_bytes()
    matrix = struct.unpack_from(">9i", content, content.index(b"tkhd") + 44)
    assert [round(m / 65536) for m in matrix[:5]] == [0, 1, 0, -1, 0], "a phone held upright"
    clip = extract(path, num_frames=5)
    assert (clip.width_px, clip.height_px) == (96, 160)
    # Turned clockwise, the columns' highest bit, on the left before, is on top.
    for index, jpeg in enumerate(clip.frames):
        upright = np.rot90(_rgb(jpeg), 1)
        assert abs(upright.astype(int) - numbered_picture(index, 160, 96)).mean() < 12


def test_anamorphic_pixels_are_made_square(tmp_path: Path) -> None:
    def stretch(stream: av.video.stream.VideoStream) -> None:
        stream.sample_aspect_ratio = Fraction(2, 1)

    clip = extract(write_numbered(tmp_path / "wide.mp4", 10, prepare=stretch))
    assert (clip.width_px, clip.height_px) == (320, 96)
    assert _rgb(clip.frames[0]).shape == (96, 320, 3)
    assert [read_number(jpeg) for jpeg in clip.frames] == clip.frame_index


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p", "yuv420p10le", "yuv444p"])
def test_colours_survive_range_and_depth(tmp_path: Path, pix_fmt: str) -> None:
    colour = np.array([200, 60, 20], np.uint8)
    picture = np.tile(colour, (96, 160, 1))
    path = write_numbered(
        tmp_path / "flat.mp4", 3, pix_fmt=pix_fmt, pictures=[picture] * 3, options={"crf": "10"}
    )
    shown = _rgb(extract(path).frames[1]).reshape(-1, 3).mean(axis=0)
    assert np.abs(shown - colour).max() < 6


def test_a_one_frame_file_gives_its_frame(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "one.mp4", 1)
    for strategy in STRATEGIES:
        clip = extract(path, strategy=strategy)
        assert (clip.num_frames, clip.frame_index, clip.frame_seconds) == (1, [0], [0.0])


def test_the_picture_stream_is_chosen_not_the_cover(tmp_path: Path) -> None:
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as container:
        small = container.add_stream("libx264", rate=25)
        large = container.add_stream("libx264", rate=25)
        small.width, small.height, small.pix_fmt = 64, 48, "yuv420p"
        large.width, large.height, large.pix_fmt = 160, 96, "yuv420p"
        for index in range(20):
            for stream in (small, large):
                picture = numbered_picture(index, stream.width, stream.height)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                container.mux(stream.encode(frame))
        container.mux(small.encode(None))
        container.mux(large.encode(None))
    clip = extract(path)
    assert (clip.width_px, clip.height_px) == (160, 96)
    assert [read_number(jpeg) for jpeg in clip.frames] == clip.frame_index


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        for _ in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate = 16000
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(ClipError) as caught:
        extract(path)
    assert caught.value.reason == "no_video"


def test_a_span_behind_the_end_is_too_short(make: Callable[[str], Path]) -> None:
    for strategy in STRATEGIES:
        with pytest.raises(ClipError, match="0 frames in") as caught:
            extract(make("one-group.mp4"), strategy=strategy, start=50.0, end=60.0)
        assert caught.value.reason == "too_short"


def _rgb(jpeg: bytes) -> np.ndarray:
    import io

    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))
