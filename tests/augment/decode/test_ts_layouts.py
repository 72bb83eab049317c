"""Transport streams of cameras and discs are read like those of broadcasts, with their losses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mama_augment.decode.config import Span
from mama_augment.keyframes.config import ClipConfig, ClipFrames
from mama_augment.keyframes.extract import extract_clip
from tests.augment.numbered import read_number, write_numbered

NUM_FRAMES = 60


def as_layout(content: bytes, size: int) -> bytes:
    """A stream of 188-byte packets with a time before each (192), or with a tail behind (204)."""
    packets = np.frombuffer(content, np.uint8).reshape(-1, 188)
    more = np.zeros((len(packets), size - 188), np.uint8)
    return np.hstack([more, packets] if size == 192 else [packets, more]).tobytes()


def numbers_and_indices(path: Path) -> tuple[ClipFrames, list[int]]:
    found = extract_clip(str(path), Span(), ClipConfig())
    return found, [read_number(jpeg) for jpeg in found.frames]


@pytest.mark.parametrize("size", [188, 192, 204])
def test_every_layout_is_decoded(tmp_path: Path, size: int) -> None:
    plain = write_numbered(tmp_path / "v.ts", NUM_FRAMES, options={"g": "20"})
    path = tmp_path / "v.m2ts"
    path.write_bytes(as_layout(plain.read_bytes(), size))
    found, numbers = numbers_and_indices(path)
    assert (found.num_frames, len(numbers)) == (NUM_FRAMES, 12)
    assert numbers == found.frame_index


@pytest.mark.parametrize("size", [188, 192])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_lost_packets_give_no_picture_of_another_time(
    tmp_path: Path, size: int, share: float
) -> None:
    options = {"g": "20", "b": "2000k"}
    plain = write_numbered(tmp_path / "v.ts", NUM_FRAMES, size=(320, 192), options=options)
    content = as_layout(plain.read_bytes(), size)
    lost = round(share * len(content) / size) * size
    path = tmp_path / "v.m2ts"
    path.write_bytes(content[:lost] + content[lost + 2 * size :])
    found, numbers = numbers_and_indices(path)
    times = [round((t - found.frame_seconds[0]) * 25) for t in found.frame_seconds]
    assert [n - numbers[0] for n in numbers] == times
    assert len(numbers) >= 3
