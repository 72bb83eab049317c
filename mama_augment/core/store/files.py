"""Local paths and object-store URIs behind one small interface."""

from __future__ import annotations

import os
import posixpath
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs

from mama_augment.core.address import absolute, shown
from mama_augment.core.errors import InputError
from mama_augment.core.safe.addresses import open_filesystem
from mama_augment.core.safe.own_files import check_no_links, files_below, read_regular

COPY_BYTES = 8 * 2**20


class Folder:
    """A directory on a local disk or an object store; picklable, opened on first use.

    Relative names use `/`. Writing is all or nothing: local files appear by rename after an
    fsync, object stores publish an object only when its upload ends.
    """

    def __init__(self, uri: str | os.PathLike[str]) -> None:
        self.uri = os.fspath(uri)
        self.absolute = absolute(self.uri)
        """What workers open, whose current directory may be another."""
        self._opened: tuple[pafs.FileSystem, str] | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "_opened": None}

    def __str__(self) -> str:
        return shown(self.uri)

    @property
    def fs(self) -> pafs.FileSystem:
        """The file system, opened on first use.

        Raises:
            InputError: nothing installed here opens the URI.
        """
        return self._open()[0]

    @property
    def is_local(self) -> bool:
        """Whether this is a directory of this machine, with renames, locks and appending."""
        return isinstance(self.fs, pafs.LocalFileSystem)

    def path(self, name: str = "") -> str:
        """The file system's own path of `name` below this folder."""
        root = self._open()[1]
        return f"{root}/{name}" if name else root

    def _open(self) -> tuple[pafs.FileSystem, str]:
        if self._opened is None:
            try:
                self._opened = open_filesystem(self.absolute)
            except OSError as error:
                raise InputError(f"cannot open {shown(self.uri)!r}: {error}") from error
        return self._opened

    def child(self, name: str) -> Folder:
        """The folder `name` below this one; it need not exist."""
        made = Folder(f"{self.uri.rstrip('/')}/{name}")
        made.absolute = f"{self.absolute.rstrip('/')}/{name}"
        return made

    def exists(self, name: str = "") -> bool:
        """Whether there is a file or a folder of that name; by default, the folder itself."""
        return self.fs.get_file_info(self.path(name)).type != pafs.FileType.NotFound

    def size_bytes(self, name: str) -> int | None:
        """Size of a file, or None when there is none."""
        info = self.fs.get_file_info(self.path(name))
        return info.size if info.type == pafs.FileType.File else None

    def sizes_bytes(
        self,
        below: str = "",
        *,
        recursive: bool = False,
        enters: Callable[[str], bool] = lambda folder: True,
    ) -> dict[str, int]:
        """Every file below `below`: relative name to size, sorted by name; one listing.

        enters: whether a subfolder, by its relative name, is looked into.

        Raises:
            InputError: such a subfolder of a local directory is a link.
        """
        if self.is_local:
            return dict(sorted(files_below(self.path(), below, recursive=recursive, enters=enters)))
        selector = pafs.FileSelector(self.path(below), recursive=recursive, allow_not_found=True)
        prefix = len(self.path()) + 1
        infos = self.fs.get_file_info(selector)
        return dict(
            sorted(
                (name, info.size)
                for info in infos
                if info.type == pafs.FileType.File
                and _is_entered(name := info.path[prefix:], below, enters)
            )
        )

    def read_bytes(self, name: str) -> bytes:
        """The whole content of a file.

        Raises:
            OSError: it is not there, or cannot be read.
            InputError: a stranger's, and a link or far too large.
        """
        if self.is_local:
            return read_regular(self.path(name))
        with self.fs.open_input_file(self.path(name)) as stream:
            return bytes(stream.read())

    def open_input(self, name: str) -> pa.NativeFile:
        """A file to seek and read in; a context manager.

        Raises:
            OSError: it is not there, or cannot be read.
        """
        return self.fs.open_input_file(self.path(name))

    def write_bytes(self, name: str, data: bytes | memoryview | pa.Buffer) -> None:
        """Publish `data` under `name`, whole or not at all."""
        self._write(name, [data])

    def write_file(self, name: str, path: str | os.PathLike[str]) -> None:
        """Publish a copy of a local file under `name`, as `write_bytes`, a piece at a time."""
        with open(path, "rb") as source:
            self._write(name, iter(lambda: source.read(COPY_BYTES), b""))

    def _write(self, name: str, parts: Iterable[bytes | memoryview | pa.Buffer]) -> None:
        target = self.path(name)
        if not self.is_local:
            with self.fs.open_output_stream(target) as stream:
                for part in parts:
                    stream.write(part)
            return
        check_no_links(self.path(), name)
        with whole(target) as temporary, temporary.open("xb") as stream:
            for part in parts:
                stream.write(part)

    def read_if_there(self, name: str) -> bytes | None:
        """The whole content of a file, or None when there is none; no look before."""
        try:
            return self.read_bytes(name)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def delete(self, name: str) -> None:
        """Remove a file, if there is one.

        Raises:
            InputError: its folder is a link.
        """
        if self.is_local:
            check_no_links(self.path(), name)
        with suppress(FileNotFoundError):
            self.fs.delete_file(self.path(name))


def _is_entered(name: str, below: str, enters: Callable[[str], bool]) -> bool:
    """Whether all folders of a file below `below` are looked into."""
    folder = name.rpartition("/")[0]
    while folder != below:
        if not enters(folder):
            return False
        folder = folder.rpartition("/")[0]
    return True


@contextmanager
def whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Make a local file, or a folder with all in it, that appears whole or not at all.

    Yields a free path beside `path`; what is there when the block ends goes to the disk and then
    takes its name. Where the block raises, nothing is left of it.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        # Without this a power cut may forget the bytes although it remembers the name.
        for made in sorted(temporary.rglob("*")) if temporary.is_dir() else ():
            _fsync(made)
        _fsync(temporary)
        os.replace(temporary, target)
    except BaseException:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
        raise
    _fsync(target.parent)  # and the other way round


def write_whole(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a local file (text as UTF-8) whole or not at all."""
    with whole(path) as temporary, temporary.open("xb") as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


def folder_and_name(path: str) -> tuple[Folder, str]:
    """The folder of a path or URI, and the name inside it; empty after a trailing slash."""
    parent, name = posixpath.split(path)
    return Folder(parent or "."), name


def output_file(path: str, option: str = "--out") -> tuple[Folder, str]:
    """The folder and the name of a file that an option asks to write; nothing is written yet.

    Raises:
        InputError: there is a directory of that name, or its folder is a file.
    """
    folder, name = folder_and_name(path)
    if not name or folder.fs.get_file_info(folder.path(name)).type == pafs.FileType.Directory:
        raise InputError(f"{option} is {path!r}, a directory; give the name of a file to write")
    if folder.fs.get_file_info(folder.path()).type == pafs.FileType.File:
        raise InputError(
            f"{option} is {path!r}: {folder.uri!r} is a file; give a name in a directory"
        )
    return folder, name


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
