"""What VIDEOS may be: a folder, a glob, a file or a manifest; local or on an object store."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from itertools import islice

import pyarrow as pa
import pyarrow.fs as pafs

from mama_augment.core.address import absolute, shown
from mama_augment.core.errors import InputError
from mama_augment.core.store.files import Folder, folder_and_name
from mama_augment.inputs.clip_list import list_clips
from mama_augment.inputs.config import InputConfig
from mama_augment.inputs.folder.names import is_text, may_be_shown, shown_names
from mama_augment.inputs.folder.shipped import ROWS, is_sidecar, rows_beside, rows_of_tar
from mama_augment.inputs.folder.suffixes import (
    TAR_SUFFIX,
    VIDEO_SUFFIXES,
    is_hidden,
    is_video,
    kind_of,
)
from mama_augment.inputs.folder.twins import twins_across_splits
from mama_augment.inputs.folder.walk import names_below
from mama_augment.inputs.table.columns import BLOCK_ROWS
from mama_augment.inputs.table.manifest import MANIFEST_SUFFIXES, Rows, read_manifest
from mama_augment.inputs.table.notes import Notes

TEXT_BYTES = 1_024
"""That are looked at of a single file."""

# fmt: off
TABLE_SUFFIXES = (
    ".txt", ".xlsx", ".xls", ".ods", ".yaml", ".yml", ".xml", ".html", ".md", ".toml", ".arrow",
    ".feather", ".pkl", ".npy", ".gz", ".zip", ".zst",
)
# fmt: on
"""Of files that somebody may take for a manifest, and nobody for a video."""
WILD = re.compile(r"[*?[]")


def find_clips(
    videos: str, config: InputConfig | None = None, notes: Notes | None = None
) -> pa.Table:
    """The clips that VIDEOS names (columns of `clip_list.CLIP_LIST`, then the manifest's own).

    Args:
        videos: folder (searched below), glob, video file, or manifest; path or URI.
        notes: takes down what is left out, and what else is to be said.

    Raises:
        InputError: nothing is found, or the manifest is wrong.
    """
    config, notes = config or InputConfig(), notes or Notes()
    root = config.manifest.video_root
    for option, value in (("VIDEOS", videos), ("--video-root", root)):
        if value is not None and not is_text(value):
            name = shown_names([value])[0]
            raise InputError(f"{option} is {name!r}: its name is not UTF-8; rename it on disk")
    folder, name = folder_and_name(videos.rstrip("/"))
    kind = _kind(videos)
    if kind == pafs.FileType.Directory:
        return _from_folder(videos, None, config, notes)
    if kind == pafs.FileType.NotFound:
        if WILD.search(videos):
            return _from_folder(_fixed_part(videos), videos, config, notes)
        raise InputError(
            f"{shown(videos)!r} does not exist. Give a folder, a glob, a video or a manifest "
            f"({' '.join(MANIFEST_SUFFIXES)})"
        )
    if name.lower().endswith(TABLE_SUFFIXES):
        raise InputError(
            f"{shown(videos)!r} is neither a video nor a manifest; manifests are "
            f"{' '.join(MANIFEST_SUFFIXES)} (docs/data-format.md)"
        )
    if name.lower().endswith(MANIFEST_SUFFIXES):
        locate = _locator(root or folder.uri)
        # No name here for the rows: `list_clips` lets go of each column as it uses it.
        clips = list_clips(
            read_manifest(folder, name, config.manifest, notes), shown(videos), locate
        )
        if remark := twins_across_splits(clips, by_content=config.same_content):
            notes.remark(remark)
        return clips
    if not is_video(name) and not name.lower().endswith(TAR_SUFFIX) and _is_text(folder, name):
        raise InputError(
            f"{shown(videos)!r} is a text, not a video; a manifest ends with "
            f"{', '.join(MANIFEST_SUFFIXES)}"
        )
    rows = pa.table({"video": [name]})
    if name.lower().endswith(TAR_SUFFIX):
        rows = _of_tars(folder, [name], config, notes)
    return list_clips(Rows.of(rows), shown(videos), _locator(folder.uri))


def root_of(videos: str, video_root: str | None = None) -> str:
    """The folder that VIDEOS is about: itself, that of a glob, of a file, or of a manifest's
    relative paths.

    Raises:
        InputError: it cannot be looked at.
    """
    if video_root is not None:
        return absolute(video_root)
    if _kind(videos) == pafs.FileType.Directory:
        return absolute(videos)
    if any(letter in videos for letter in "*?["):
        return absolute(_fixed_part(videos))
    return folder_and_name(videos.rstrip("/"))[0].absolute


def _kind(videos: str) -> pafs.FileType:
    folder = Folder(videos)
    try:
        return folder.fs.get_file_info(folder.path()).type
    except OSError as error:
        reason = str(error).replace(videos, shown(videos))
        raise InputError(f"cannot read {shown(videos)!r}: {reason}") from error


def _is_text(folder: Folder, name: str) -> bool:
    """Whether a file begins as a text does; no container of video is readable so far."""
    with folder.open_input(name) as stream:
        start = bytes(stream.read(TEXT_BYTES))
    try:
        text = start.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3:  # else a character is cut in two
            return False
        text = start[: error.start].decode("utf-8")
    return bool(text) and all(letter.isprintable() or letter in "\t\r\n" for letter in text)


def _from_folder(root: str, pattern: str | None, config: InputConfig, notes: Notes) -> pa.Table:
    # As with a manifest, no name here for the rows.
    return list_clips(_found(root, pattern, config, notes), shown(root), _locator(root))


def _found(root: str, pattern: str | None, config: InputConfig, notes: Notes) -> Rows:
    """The files below `root` that are asked for, as rows of a manifest."""
    tars: list[str] = []
    sidecars: list[str] = []
    if pattern is None:
        names = _without(names_below(root, notes), lambda n: n.lower().endswith(TAR_SUFFIX), tars)
        names = _without(names, is_sidecar, sidecars)
        found = _taken(names, is_video, notes)
        suffixes = " ".join(VIDEO_SUFFIXES)
        what = f"no file below {shown(root)!r} has a video's suffix ({suffixes} {TAR_SUFFIX})"
    else:
        asks_hidden = any(map(is_hidden, pattern.split("/")))
        names = names_below(root, Notes(), with_hidden=asks_hidden)
        matching = (name for name in names if _matches(_join(root, name), pattern))
        found = _without(matching, lambda n: n.lower().endswith(TAR_SUFFIX), tars)
        what = (
            f"no file matches {shown(pattern)!r}. Give a folder, a quoted glob, a video or a "
            "manifest"
        )
    rows = pa.table({"video": _column(found)})
    folder = Folder(root)
    if sidecars:
        videos = rows["video"].to_pylist()
        beside, divided = rows_beside(folder, videos, sidecars, config.subtitles, notes)
        if divided:
            rows = rows.filter(pa.array([video not in divided for video in videos]))
        if beside.num_rows:
            rows = pa.concat_tables([rows, beside], promote_options="default")
    if tars:
        parts = [rows, _of_tars(folder, sorted(tars), config, notes)]
        rows = pa.concat_tables(parts, promote_options="default")
    if not rows.num_rows:
        raise InputError(what)
    return Rows.of(rows)


def _of_tars(folder: Folder, names: list[str], config: InputConfig, notes: Notes) -> pa.Table:
    """Rows for the clips of some archives."""
    tables: list[pa.Table] = [ROWS.empty_table()]
    for name in names:
        try:
            tables += rows_of_tar(folder, name, config.subtitles, notes)
        except (ValueError, OSError) as error:
            notes.left_out["archive that cannot be read"] += 1
            notes.remark(f"not read: {name}: {error}")
    return pa.concat_tables(tables)


def _without(
    names: Iterator[str], is_other: Callable[[str], bool], others: list[str]
) -> Iterator[str]:
    """Names but for some, which go into a list."""
    for name in names:
        if is_other(name):
            others.append(name)
        else:
            yield name


def _taken(names: Iterator[str], is_taken: Callable[[str], bool], notes: Notes) -> Iterator[str]:
    """Some of the names; the others are counted by kind."""
    for name in names:
        if is_taken(name):
            yield name
        else:
            notes.left_out[kind_of(name)] += 1


def _column(names: Iterator[str]) -> pa.ChunkedArray:
    """Names as a column; those that are not UTF-8 as they are shown."""
    chunks: list[pa.Array] = []
    odd: list[str] = []
    doubtful: list[str] = []
    while block := list(islice(names, BLOCK_ROWS)):
        texts = [name for name in block if is_text(name)]
        odd += [name for name in block if not is_text(name)]
        doubtful += [name for name in texts if may_be_shown(name)]
        chunks.append(pa.array(texts, pa.string()))
    chunks.append(pa.array(shown_names(sorted(odd), doubtful), pa.string()))
    return pa.chunked_array(chunks)


def _matches(path: str, pattern: str) -> bool:
    """Glob match part by part; `**` stands for any number of directories."""
    return _match_parts(path.split("/"), pattern.split("/"))


def _match_parts(path: list[str], pattern: list[str]) -> bool:
    if not pattern or not path:
        return not path and all(part == "**" for part in pattern)
    if pattern[0] == "**":
        return _match_parts(path, pattern[1:]) or _match_parts(path[1:], pattern)
    return fnmatch(path[0], pattern[0]) and _match_parts(path[1:], pattern[1:])


def _fixed_part(pattern: str) -> str:
    """The directory part of a glob before its first wildcard."""
    parts = pattern.split("/")[:-1]
    for position, part in enumerate(parts):
        if WILD.search(part):
            parts = parts[:position]
            break
    return "/".join(parts) or ("/" if pattern.startswith("/") else ".")


def _join(root: str, name: str) -> str:
    return name if root == "." else f"{root.rstrip('/')}/{name}"


def _locator(root: str) -> Callable[[str], tuple[str, str]]:
    """From a row's video to its full URI and its path relative to `root`."""
    base = root.rstrip("/") if "://" in root else os.path.abspath(root)

    def locate(video: str) -> tuple[str, str]:
        if "://" in video:
            uri = video
        elif "://" in base:
            uri = f"{base}/{video}"
        else:
            uri = os.path.normpath(os.path.join(base, video))
        return uri, uri.removeprefix(f"{base}/")

    return locate
