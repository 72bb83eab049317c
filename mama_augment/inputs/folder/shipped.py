"""Clips as others ship them: videos with texts beside them, in folders or in tar archives."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from mama_augment.core.store.files import Folder
from mama_augment.inputs.folder.sidecars import SIDECAR_SUFFIXES, as_asked, read_sidecar
from mama_augment.inputs.folder.suffixes import is_video, kind_of
from mama_augment.inputs.folder.tars import key_of, members
from mama_augment.inputs.table.columns import BLOCK_ROWS
from mama_augment.inputs.table.notes import Notes
from mama_augment.inputs.table.typed import KNOWN_COLUMNS

ROWS = pa.schema(list(KNOWN_COLUMNS.items()))
BROKEN = "text beside a video that cannot be read"
NUM_NAMED = 3

Row = dict[str, Any]
Read = Callable[[str], bytes]


def is_sidecar(name: str) -> bool:
    return name.lower().endswith(SIDECAR_SUFFIXES)


def rows_beside(
    folder: Folder, videos: Iterable[str], sidecars: Iterable[str], subtitles: str, notes: Notes
) -> tuple[pa.Table, set[str]]:
    """Rows (ROWS) for videos with texts beside them (`a.mp4`, `a.srt`), and those of the videos
    that are divided by them: they are no clip as a whole."""
    by_stem = defaultdict(list)
    for name in sidecars:
        by_stem[posixpath.splitext(name)[0]].append(name)
    used: set[str] = set()
    divided: set[str] = set()
    reader = _Reader(folder.read_bytes, subtitles, notes)
    rows: list[Row] = []
    for video in videos:
        found = by_stem.get(posixpath.splitext(video)[0], ())
        used.update(found)
        own = reader.rows(video, sorted(found))
        rows += own
        if own and all(_is_part(row) for row in own):
            divided.add(video)
    for names in by_stem.values():
        notes.left_out.update(kind_of(name) for name in names if name not in used)
    reader.remark()
    return pa.Table.from_pylist(rows, ROWS), divided


def rows_of_tar(folder: Folder, name: str, subtitles: str, notes: Notes) -> Iterator[pa.Table]:
    """Rows (ROWS) for the clips of an archive, with the texts of the members that share their key;
    a block at a time. `video` is `NAME/MEMBER`, relative to the folder.

    Raises:
        ValueError: it is not a tar archive.
    """
    places = members(folder, name)
    clips: dict[str, list[str]] = defaultdict(list)
    for member in places:
        clips[key_of(member)].append(member)
    with folder.open_input(name) as stream:

        def read(member: str) -> bytes:
            start, size = places[member]
            stream.seek(start)
            return bytes(stream.read(size))

        reader = _Reader(read, subtitles, notes)
        rows: list[Row] = []
        for group in clips.values():
            videos = [member for member in group if is_video(member)]
            texts = [member for member in group if is_sidecar(member)]
            others = [m for m in group if m not in videos and not (m in texts and videos)]
            notes.left_out.update(map(kind_of, others))
            for video in videos:
                own = reader.rows(f"{name}/{video}", texts)
                whole: list[Row] = [] if own and all(_is_part(row) for row in own) else [{}]
                rows += [{"video": f"{name}/{video}", **row} for row in [*whole, *own]]
            if len(rows) >= BLOCK_ROWS:
                yield pa.Table.from_pylist(rows, ROWS)
                rows = []
        reader.remark()
        yield pa.Table.from_pylist(rows, ROWS)


def _is_part(row: Mapping[str, Any]) -> bool:
    return row.get("start_seconds") is not None or row.get("end_seconds") is not None


class _Reader:
    """Reads texts beside videos; one that is broken costs itself."""

    def __init__(self, read: Read, subtitles: str, notes: Notes) -> None:
        self._read, self._subtitles, self._notes = read, subtitles, notes
        self._broken: list[str] = []
        self._ignored: set[str] = set()

    def rows(self, video: str, names: Iterable[str]) -> list[Row]:
        """Rows of a manifest that some files say of a video."""
        rows: list[Row] = []
        for name in names:
            try:
                found = read_sidecar(name, self._read(name))
            except (ValueError, OSError) as error:
                self._notes.left_out[BROKEN] += 1
                self._broken.append(f"{name}: {error}")
                continue
            self._ignored.update(found.ignored)
            rows += [{"video": video, **row} for row in as_asked(found.rows, self._subtitles)]
        return rows

    def remark(self) -> None:
        """Say what was not taken."""
        if self._broken:
            more = "; …" if len(self._broken) > NUM_NAMED else ""
            self._notes.remark("not read: " + "; ".join(self._broken[:NUM_NAMED]) + more)
        if self._ignored:
            self._notes.remark(
                f"fields of .json beside videos that are not taken: "
                f"{', '.join(sorted(self._ignored))}"
            )
