"""A manifest's file, and its text as UTF-8 whatever it was written in."""

from __future__ import annotations

import codecs
import io

import pyarrow as pa

from mama_augment.core.store.files import Folder

MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order marks; those of UTF-32 begin like those of UTF-16, and come first."""
NOT_UTF8 = (
    "it is not UTF-8. Save it as UTF-8, or say what it is: --encoding cp1252 for files of Windows"
)
NUM_FIRST_BYTES = 4096
LEAST_ZEROS = 8
"""One byte of so many is zero in UTF-16, whose commas, digits and ends of lines have one each."""


class Source:
    """A file of a folder, or bytes in memory."""

    def __init__(self, folder: Folder, name: str, encoding: str | None = None) -> None:
        self._folder, self._name = folder, name
        self._encoding = encoding
        with self.raw() as stream:
            self.num_bytes: int = stream.size()

    def raw(self) -> pa.NativeFile:
        """The file as it is."""
        return self._folder.open_input(self._name)

    def text(self) -> pa.NativeFile:
        """The file's text as UTF-8, without a byte order mark; to read from start to end.

        Raises:
            ValueError: it looks like UTF-16 without a mark. While reading: UnicodeDecodeError.
        """
        encoding = self._encoding or self._marked()
        if encoding is None or codecs.lookup(encoding).name == "utf-8":
            return self.raw()
        return pa.transcoding_input_stream(self.raw(), encoding, "utf-8")

    def first_line(self) -> str:
        """The start of the text up to a new line; what is not UTF-8 in it is replaced."""
        with self.text() as stream:
            first: bytes = stream.read(64 * NUM_FIRST_BYTES)
        return next(io.StringIO(first.decode(errors="replace").removeprefix("\ufeff")), "")

    def _marked(self) -> str | None:
        with self.raw() as stream:
            first: bytes = stream.read(NUM_FIRST_BYTES)
        for mark, encoding in MARKS.items():
            if first.startswith(mark):
                return encoding
        if first.count(0) * LEAST_ZEROS > len(first):  # a stray one costs its row only
            order = "le" if first[1::2].count(0) >= first[::2].count(0) else "be"
            raise ValueError(
                f"it holds zero bytes, as UTF-16 does; if it is that, --encoding utf-16-{order} "
                "reads it"
            )
        return None


class Memory(Source):
    """Bytes in memory; for tests."""

    def __init__(self, content: bytes, encoding: str | None = None) -> None:
        self._content, self._encoding = content, encoding
        self.num_bytes = len(content)

    def raw(self) -> pa.NativeFile:
        return pa.BufferReader(self._content)
