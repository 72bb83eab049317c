"""Damaged and incomplete files give fewer pictures, never pictures of another time."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mama_augment.decode.errors import ClipError
from mama_augment.keyframes.config import ClipFrames
from tests.augment.numbered import checked_picture, extract, read_checked, write_numbered

NUM_FRAMES = 80
STRATEGIES = ["peaks", "packets", "iframes", "uniform", "auto"]
SPANS: list[tuple[float | None, float | None]] = [(None, None), (0.5, 1.0), (1.2, 2.0)]
H264 = {"options": {"x264-params": "threads=1:keyint=25:min-keyint=5:bframes=3"}}
HEVC = {
    "codec": "libx265",
    "options": {"x265-params": "log-level=none:pools=1:frame-threads=1:keyint=25:bframes=3"},
}
MPEG2 = {"codec": "mpeg2video", "options": {"bf": "2", "g": "12"}}
MPEG4 = {"codec": "mpeg4", "options": {"bf": "2", "g": "12"}}
VP9 = {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "deadline": "realtime", "g": "25"}}
AV1 = {"codec": "libsvtav1", "options": {"preset": "10", "g": "25", "crf": "20"}}
FILES: dict[str, dict[str, Any]] = {
    "h264.mp4": H264,
    "h264.mkv": H264,
    "h264.ts": H264,
    "h264.avi": H264,
    "h264-wraps.ts": {
        **H264,
        "container_options": {"output_ts_offset": "95442", "mpegts_copyts": "1"},
    },
    "hevc.mp4": HEVC,
    "hevc.ts": HEVC,
    "mpeg2.ts": MPEG2,
    "mpeg2.avi": MPEG2,
    "mpeg4.avi": MPEG4,
    "mpeg4-in-order.avi": {"codec": "mpeg4", "options": {"g": "12"}},
    "motion-jpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "mpeg4.mp4": MPEG4,
    "vp9.webm": VP9,
    "vp9.mp4": VP9,
    "av1.mkv": AV1,
}
TICK = 0.011
"""Transport streams and Matroska round their times; frames are 0.04 s apart."""


@cache
def content(folder: Path, name: str) -> bytes:
    pictures = [checked_picture(number) for number in range(NUM_FRAMES)]
    return write_numbered(folder / name, NUM_FRAMES, pictures=pictures, **FILES[name]).read_bytes()


def incomplete(whole: bytes) -> Iterator[tuple[str, bytes]]:
    """Copies with stretches that were never written, and without their end."""
    yield "whole", whole
    for place, length in itertools.product((0.2, 0.35, 0.5, 0.6, 0.8), (300, 1500, 4000)):
        start = int(place * len(whole))
        hole = bytes(len(whole[start : start + length]))
        yield f"hole of {length} at {place}", whole[:start] + hole + whole[start + length :]
    for share in (0.3, 0.6, 0.9):
        yield f"cut at {share}", whole[: int(share * len(whole))]


def wrong(clip: ClipFrames) -> list[tuple[float, float]]:
    """Time that the row says and time of the frame that the picture shows, where they differ."""
    pairs = zip(clip.frame_seconds, map(read_checked, clip.frames), strict=True)
    shown = [(seconds, number / 25) for seconds, number in pairs if number is not None]
    return [pair for pair in shown if abs(pair[0] - pair[1]) > TICK]


@pytest.mark.parametrize("strategy", ["uniform", pytest.param("peaks", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", FILES)
def test_an_incomplete_file_gives_no_picture_of_another_time(
    tmp_path_factory: pytest.TempPathFactory, name: str, strategy: str
) -> None:
    folder = tmp_path_factory.mktemp(name.replace(".", "-"))
    outcomes: Counter[str] = Counter()
    whole = 0
    for kind, damaged in incomplete(content(folder, name)):
        path = folder / f"damaged-{name}"
        path.write_bytes(damaged)
        for start, end in SPANS:
            try:
                clip = extract(path, strategy=strategy, start=start, end=end, num_threads=1)
            except ClipError as error:
                outcomes[error.reason] += 1
                continue
            outcomes["ok"] += 1
            assert wrong(clip) == [], (kind, start, end)
            whole += kind == "whole"
            if kind == "whole":
                assert None not in map(read_checked, clip.frames)
    assert outcomes["ok"] > 4 * len(SPANS)  # not by rejecting everything
    assert whole == len(SPANS)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", ["h264_hole.mp4", "hevc_hole.mp4"])
def test_a_span_without_a_decodable_frame_is_unreadable(
    shared_dir: Path, name: str, strategy: str
) -> None:
    path = shared_dir / "cases" / "01_span_without_decodable_frame" / name
    with pytest.raises(ClipError, match="no frame can be decoded") as error:
        extract(path, strategy=strategy, start=0.8, end=1.6)
    assert error.value.reason == "unreadable"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_beginning_of_a_stream_that_was_joined_late_is_unreadable(
    tmp_path: Path, strategy: str
) -> None:
    whole = content(tmp_path, "h264.ts")
    late = tmp_path / "late.ts"
    late.write_bytes(whole[len(whole) // 10 // 188 * 188 :])
    with pytest.raises(ClipError) as error:
        extract(late, strategy=strategy, start=0.0, end=0.3)
    assert error.value.reason in ("unreadable", "too_short")
    clip = extract(late, strategy=strategy)
    numbers = [number for number in map(read_checked, clip.frames) if number is not None]
    offsets = [n / 25 - s for n, s in zip(numbers, clip.frame_seconds, strict=True)]
    assert max(offsets) - min(offsets) < TICK


def test_a_lost_reference_costs_its_group_only(tmp_path: Path) -> None:
    """One reference frame's packet is taken out; Matroska does not tell, H.264's numbers do."""
    import av

    content(tmp_path, "h264.mkv")
    with (
        av.open(str(tmp_path / "h264.mkv")) as source,
        av.open(str(tmp_path / "lossy.mkv"), "w") as sink,
    ):
        stream = sink.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        keys = [place for place, packet in enumerate(packets) if packet.is_keyframe]
        del packets[keys[1] + 1]  # the first frame after a key frame is a reference
        for packet in packets:
            packet.stream = stream
            sink.mux(packet)
    clip = extract(tmp_path / "lossy.mkv", strategy="uniform", num_frames=NUM_FRAMES)
    assert wrong(clip) == []
    lost = {round(s * 25) for s in clip.frame_seconds} ^ set(range(NUM_FRAMES))
    assert 0 < len(lost) <= keys[2] - keys[1]
