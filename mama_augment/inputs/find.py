"""What VIDEOS may be: a folder, a glob, a file or a manifest; local or on an object store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from itertools import islice

import pyarrow as pa
import pyarrow.fs as pafs

from mama_augment.core.address import absolute, shown
from mama_augment.core.errors import InputError
from mama_augment.core.store.files import Folder, folder_and_name
from mama_augment.inputs.clip_list import list_clips
from mama_augment.inputs.columns import BLOCK_ROWS
from mama_augment.inputs.manifest import MANIFEST_SUFFIXES, read_manifest
from mama_augment.inputs.names import is_text, may_be_shown, shown_names

TEXT_BYTES = 1_024
"""That are looked at of a single file."""

# fmt: off
VIDEO_SUFFIXES = (
    ".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg",
    ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv",
)
# fmt: on


def find_clips(videos: str, *, video_root: str | None = None) -> pa.Table:
    """The clips that VIDEOS names (columns of `clip_list.CLIP_LIST`, then the manifest's own).

    Args:
        videos: folder (searched below), glob, video file, or manifest; path or URI.
        video_root: where a manifest's relative paths start; by default its own folder.

    Raises:
        InputError: nothing is found, or the manifest is wrong.
    """
    for option, value in (("VIDEOS", videos), ("--video-root", video_root)):
        if value is not None and not is_text(value):
            name = shown_names([value])[0]
            raise InputError(f"{option} is {name!r}: its name is not UTF-8; rename it on disk")
    folder, name = folder_and_name(videos.rstrip("/"))
    kind = _kind(videos)
    if kind == pafs.FileType.Directory:
        return _from_folder(videos, pattern=None)
    if kind == pafs.FileType.NotFound:
        if any(letter in videos for letter in "*?["):
            return _from_folder(_fixed_part(videos), pattern=videos)
        raise InputError(
            f"{shown(videos)!r} does not exist. Give a folder, a glob, a video or a manifest"
        )
    if name.lower().endswith(MANIFEST_SUFFIXES):
        locate = _locator(video_root or folder.uri)
        # No name here for the rows: `list_clips` lets go of each column as it uses it.
        return list_clips(read_manifest(folder, name), shown(videos), locate)
    if not name.lower().endswith(VIDEO_SUFFIXES) and _is_text(folder, name):
        raise InputError(
            f"{shown(videos)!r} is a text, not a video; a manifest ends with "
            f"{', '.join(MANIFEST_SUFFIXES)}"
        )
    return list_clips(pa.table({"video": [name]}), shown(videos), _locator(folder.uri))


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


def _from_folder(root: str, pattern: str | None) -> pa.Table:
    # As with a manifest, no name here for the rows.
    return list_clips(_found(root, pattern), shown(root), _locator(root))


def _found(root: str, pattern: str | None) -> pa.Table:
    """The files below `root` that are asked for, as rows of a manifest."""
    names = _below(root)
    if pattern is None:
        found = (name for name in names if name.lower().endswith(VIDEO_SUFFIXES))
        suffixes = " ".join(VIDEO_SUFFIXES)
        what = f"no file below {shown(root)!r} has a video's suffix ({suffixes})"
    else:
        found = (name for name in names if _matches(_join(root, name), pattern))
        what = (
            f"no file matches {shown(pattern)!r}. Give a folder, a quoted glob, a video or a "
            "manifest"
        )
    rows = pa.table({"video": _column(found)})
    if not rows.num_rows:
        raise InputError(what)
    return rows


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


def _below(root: str) -> Iterator[str]:
    """Relative names of what lies below `root`, in any order.

    A directory whose name ends like a video's counts as an entry (and will be rejected as no
    file), so that nothing that looks like a video goes unaccounted; links to directories are not
    followed, so that they cannot loop.
    """
    folder = Folder(root)
    if not folder.is_local:
        yield from folder.sizes_bytes(recursive=True)
        return
    top = folder.path()
    for directory, subdirectories, files in os.walk(top):
        looks_like_video = {d for d in subdirectories if d.lower().endswith(VIDEO_SUFFIXES)}
        subdirectories[:] = [d for d in subdirectories if d not in looks_like_video]
        below = os.path.relpath(directory, top).replace(os.sep, "/")
        prefix = "" if below == "." else f"{below}/"
        yield from (prefix + name for name in files)
        yield from (prefix + name for name in looks_like_video)


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
        if any(letter in part for letter in "*?["):
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
