"""A local folder that is used as an object store, and counts what a store would be asked.

    from tests.augment.counting_fs import Counted, counted  # noqa: F401

    def test_…(counted: Counted) -> None:
        Folder(counted.uri("a")).write_bytes("name", b"…")
        before = counted.counts()
        …
        assert (counted.counts() - before)["GET"] <= 3

Quick, where tests.augment.s3 is true: each read is a GET, each listing a LIST, each look at a file
and each opening by name a HEAD (an object store is asked for the size). What pyarrow.dataset opens
counts as of a known size, which it is not where none was given.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pytest

from mama_augment.core.store import files
from tests.augment.s3 import Requests

SCHEME = "counted://"


class Counted(Requests):
    """The store, and what was asked of it."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root

    def uri(self, name: str) -> str:
        return f"{SCHEME}{name}"


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counted:
    """URIs `counted://…` are folders below a temporary one; only in this process."""
    root = tmp_path / "counted"
    root.mkdir()
    store = Counted(root)
    opened = files.open_filesystem

    def open_filesystem(uri: str) -> tuple[pafs.FileSystem, str]:
        if not uri.startswith(SCHEME):
            return opened(uri)
        return _FileSystem(_Handler(store)), uri.removeprefix(SCHEME).rstrip("/")

    monkeypatch.setattr(files, "open_filesystem", open_filesystem)
    return store


class _FileSystem(pafs.PyFileSystem):
    """pyarrow.dataset calls the handler itself."""

    def open_input_file(self, path: str) -> pa.NativeFile:
        self.handler.count("HEAD", path)
        return super().open_input_file(path)


class _Handler(pafs.FileSystemHandler):
    def __init__(self, store: Counted) -> None:
        self._store = store
        local = pafs.LocalFileSystem()
        self._below = pafs.SubTreeFileSystem(str(store.root), local)

    def count(self, kind: str, key: str) -> None:
        self._store.begin(kind, key)
        self._store.end()

    def get_type_name(self) -> str:
        return "counted"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: list[str]) -> list[pafs.FileInfo]:
        for path in paths:
            self.count("HEAD", path)
        return list(self._below.get_file_info(paths))

    def get_file_info_selector(self, selector: pafs.FileSelector) -> list[pafs.FileInfo]:
        self.count("LIST", selector.base_dir)
        return list(self._below.get_file_info(selector))

    def create_dir(self, path: str, recursive: bool) -> None:
        self._below.create_dir(path, recursive=recursive)

    def delete_dir(self, path: str) -> None:
        self._below.delete_dir(path)

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        self._below.delete_dir_contents(path, missing_dir_ok=missing_dir_ok)

    def delete_root_dir_contents(self) -> None:
        raise NotImplementedError

    def delete_file(self, path: str) -> None:
        self.count("DELETE", path)
        self._below.delete_file(path)

    def move(self, src: str, dest: str) -> None:
        raise NotImplementedError

    def copy_file(self, src: str, dest: str) -> None:
        raise NotImplementedError

    def open_input_stream(self, path: str) -> pa.NativeFile:
        return self.open_input_file(path)

    def open_input_file(self, path: str) -> pa.NativeFile:
        file = self._store.root / path
        if not file.is_file():
            raise FileNotFoundError(path)
        return pa.PythonFile(_File(file.read_bytes(), path, self), mode="r")

    def open_output_stream(self, path: str, metadata: Any) -> pa.NativeFile:
        self.count("PUT", path)
        file = self._store.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        return self._below.open_output_stream(path)

    def open_append_stream(self, path: str, metadata: Any) -> pa.NativeFile:
        raise NotImplementedError


class _File(io.BytesIO):
    """Counts what is read of it."""

    def __init__(self, content: bytes, key: str, handler: _Handler) -> None:
        super().__init__(content)
        self._key, self._handler = key, handler

    def read(self, size: int | None = -1, /) -> bytes:
        self._handler.count("GET", self._key)
        return super().read(size)
