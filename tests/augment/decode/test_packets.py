"""Clips of one file that follow each other share its index, and are none the worse for it."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from mama_augment.decode import packets
from mama_augment.decode.source import OpenVideo
from tests.augment.numbered import extract, read_number, write_numbered

CUTS = (None, 1.0, 2.52, None)


@pytest.fixture
def indexed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were demuxed for their index, in order."""
    paths: list[str] = []
    plain = packets._read_index

    def noting(video: OpenVideo) -> packets.PacketIndex:
        paths.append(Path(video.path).name)
        return plain(video)

    monkeypatch.setattr(packets, "_read_index", noting)
    monkeypatch.setattr(packets, "_last", None)
    return paths


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.ts", "v.avi"])
@pytest.mark.parametrize("strategy", ["peaks", "packets", "uniform"])
def test_pieces_of_a_file_demux_it_once_and_give_the_same(
    tmp_path: Path,
    indexed: list[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    strategy: str,
) -> None:
    options = {"x264-params": "keyint=20:bframes=3:b-pyramid=normal:open-gop=1"}
    path = write_numbered(tmp_path / name, 100, options=options)
    spans = list(itertools.pairwise(CUTS))
    together = [extract(path, start=a, end=b, strategy=strategy) for a, b in spans]
    assert indexed == [name]
    alone = []
    for start, end in spans:
        monkeypatch.setattr(packets, "_last", None)
        alone.append(extract(path, start=start, end=end, strategy=strategy))
    assert together == alone
    assert len(indexed) == 1 + len(spans)


def test_a_file_that_changed_is_indexed_anew(tmp_path: Path, indexed: list[str]) -> None:
    path, other = tmp_path / "v.mp4", tmp_path / "w.mp4"
    write_numbered(path, 40)
    write_numbered(other, 40)
    for file in (path, other, path):
        extract(file)
    assert indexed == ["v.mp4", "w.mp4", "v.mp4"]
    write_numbered(path, 20)
    clip = extract(path)
    assert clip.num_frames == 20
    assert [read_number(jpeg) for jpeg in clip.frames] == clip.frame_index
    assert len(indexed) == 4
