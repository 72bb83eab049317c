"""The scan sees cuts where they are, and its reservoir spares the second decode."""

from __future__ import annotations

import itertools
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mama_augment.decode.frames import reader as reader_module
from mama_augment.decode.picture.luma import SAMPLE_SIZE, FlashFreeChange
from tests.augment.numbered import extract, read_number, write_numbered

SIZE = (160, 96)


def pictures_of_shots(
    lengths: list[int], flashes: dict[int, int] | None = None
) -> list[np.ndarray]:
    """Moving noise, another for every shot; flashes of n frames are nearly white."""
    rng = np.random.default_rng(1)
    pictures = []
    for length in lengths:
        texture = rng.integers(20, 200, (12, 40, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
        pictures += [texture[:96, index : index + 160] for index in range(length)]
    for start, duration in (flashes or {}).items():
        for index in range(start, start + duration):
            pictures[index] = pictures[index] // 8 + 220
    return pictures


def shots_hit(chosen: list[int], lengths: list[int]) -> list[bool]:
    edges = np.cumsum([0, *lengths])
    return [any(a <= i < b for i in chosen) for a, b in itertools.pairwise(edges)]


@pytest.mark.parametrize("lengths", [[40, 25, 60, 9, 33], [10] * 12, [5, 90, 5, 80], [1, 30]])
def test_every_shot_gets_a_key_frame_and_the_first_is_no_exception(
    tmp_path: Path, lengths: list[int]
) -> None:
    pictures = pictures_of_shots(lengths)
    path = write_numbered(tmp_path / "shots.mp4", len(pictures), pictures=pictures)
    chosen = extract(path, num_frames=12).frame_index
    assert len(set(chosen)) == min(12, len(pictures))
    assert all(shots_hit(chosen, lengths)), chosen


def test_flashes_take_no_key_frames_from_shots(tmp_path: Path) -> None:
    lengths = [30, 30, 30, 30]
    pictures = pictures_of_shots(lengths, {10: 1, 45: 2, 70: 3, 100: 1})
    path = write_numbered(tmp_path / "flashes.mp4", len(pictures), pictures=pictures)
    chosen = extract(path, num_frames=4).frame_index
    assert shots_hit(chosen, lengths) == [True] * 4
    flashing = {10, 45, 46, 70, 71, 72, 100}
    assert not flashing & set(chosen)


@pytest.mark.parametrize("strategy", ["peaks", "uniform"])
def test_the_scan_decodes_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    lengths = [40, 25, 60, 9, 33, 80]
    pictures = pictures_of_shots(lengths)
    one_group = {"x264-params": "keyint=1000:scenecut=0"}
    path = write_numbered(tmp_path / "one.mp4", len(pictures), pictures=pictures, options=one_group)
    fed = 0
    plain_runs = reader_module.Decoder.runs

    def counting_runs(self, index, runs, wanted=None):
        nonlocal fed
        runs = list(runs)
        fed += sum(run.last + 1 - run.first for run in runs)
        return plain_runs(self, index, runs, wanted)

    monkeypatch.setattr(reader_module.Decoder, "runs", counting_runs)
    extract(path, strategy=strategy, num_frames=12)
    assert fed <= len(pictures)


@pytest.mark.parametrize("strategy", ["uniform", "iframes", "packets"])
def test_fetched_pictures_are_those_of_a_full_decode(tmp_path: Path, strategy: str) -> None:
    pictures = pictures_of_shots([60, 40])
    options = {"x264-params": "keyint=20:bframes=3:b-pyramid=normal:open-gop=1", "crf": "18"}
    path = write_numbered(tmp_path / "b.mp4", len(pictures), pictures=pictures, options=options)
    with av.open(str(path)) as container:
        decoded = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    clip = extract(path, strategy=strategy, num_frames=9)
    from io import BytesIO

    from PIL import Image

    for index, jpeg in zip(clip.frame_index, clip.frames, strict=True):
        shown = np.asarray(Image.open(BytesIO(jpeg)).convert("L"), int)
        errors = [np.abs(shown - other).mean() for other in decoded]
        assert int(np.argmin(errors)) == index


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(0, 5))
def test_the_signal_does_not_depend_on_the_blocks(blocks: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    scenes = rng.integers(0, 255, (sum(blocks), 1), np.uint8) // 60 * 60
    noise = rng.integers(0, 4, (sum(blocks), SAMPLE_SIZE), np.uint8)
    samples = (scenes + noise).astype(np.uint8)
    whole, parts = FlashFreeChange(), FlashFreeChange()
    whole.extend(samples, is_last=True)
    edges = np.cumsum([0, *blocks])
    for start, end in itertools.pairwise(edges):
        parts.extend(samples[start:end], is_last=end == len(samples))
    assert np.array_equal(whole.change_N, parts.change_N)


@pytest.mark.parametrize("duration", [1, 2, 3])
def test_a_flash_is_no_change_and_a_cut_is(duration: int) -> None:
    samples = np.full((60, SAMPLE_SIZE), 50, np.uint8)
    samples[20 : 20 + duration] = 250
    samples[40:] = 110
    signal = FlashFreeChange()
    signal.extend(samples, is_last=True)
    assert signal.change_N[40] == 60
    assert np.delete(signal.change_N, 40).max() == 0


@pytest.mark.parametrize("name", ["sampled.mp4", "sampled.avi"])
def test_a_sampled_scan_still_gives_the_frames_that_it_names(tmp_path: Path, name: str) -> None:
    options = {"x264-params": "keyint=10:min-keyint=10:scenecut=0"}
    path = write_numbered(tmp_path / name, 200, options=options)
    clip = extract(path, num_frames=5, sample_fps=2.5)
    assert len(set(clip.frame_index)) == 5
    assert [read_number(jpeg) for jpeg in clip.frames] == clip.frame_index
    assert clip.num_frames == 200
    assert np.allclose(clip.frame_seconds, np.array(clip.frame_index) / 25, atol=2e-3)
