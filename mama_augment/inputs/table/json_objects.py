"""JSON objects out of a stream, a block at a time: one a line, or all in a list."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from mama_augment.inputs.table.config import ManifestLimits
from mama_augment.inputs.table.notes import Notes
from mama_augment.inputs.table.source import NOT_UTF8

Objects = list[dict[str, Any]]
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
HALF = "\\ud"
"""How the escape of half a character begins, in small letters."""
LONE = re.compile("[\ud800-\udfff]")
BLANKS = " \t\r\n\ufeff"
DECODER = json.JSONDecoder()


def lines(
    stream: pa.NativeFile, limits: ManifestLimits, notes: Notes, block_bytes: int
) -> Iterator[Objects]:
    """The objects of some lines at a time.

    Raises:
        ValueError: a line is not a JSON object; the message names it.
    """
    num_lines = 0
    for content in _blocks(stream, block_bytes):
        rows = []
        for number, line in enumerate(content.split(b"\n"), num_lines + 1):
            line = line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line
            if not line.strip():
                continue
            rows.append(_row(line, number, limits, notes))
        num_lines += content.count(b"\n") + 1
        yield rows


def _blocks(stream: pa.NativeFile, block_bytes: int) -> Iterator[bytes]:
    """Some lines at a time, without the last one's newline."""
    begun: list[bytes] = []
    while content := stream.read(block_bytes):
        whole, newline, rest = content.rpartition(b"\n")
        if newline:
            yield b"".join([*begun, whole])
            begun = []
        begun.append(rest)
    yield b"".join(begun)


def _row(line: bytes, number: int, limits: ManifestLimits, notes: Notes) -> dict[str, Any]:
    where = f"line {number}"
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: {NOT_UTF8} ({error})") from error
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(_too_deep(where, limits)) from None
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    return _checked(value, text, where, limits, notes)


def objects(
    stream: pa.NativeFile, limits: ManifestLimits, notes: Notes, block_bytes: int
) -> Iterator[Objects]:
    """The objects of a list, or objects one after the other, some at a time.

    Raises:
        ValueError: something else stands there; the message names the object.
    """
    decode = codecs.getincrementaldecoder("utf-8")()
    buffer, is_list, number, is_last = "", False, 0, False
    while not is_last:
        content = stream.read(block_bytes)
        is_last = not content
        try:
            buffer += decode.decode(content, final=is_last)
        except UnicodeDecodeError as error:
            raise ValueError(f"object {number + 1} or later: {NOT_UTF8} ({error})") from error
        rows: Objects = []
        position = _skipped(buffer, 0, BLANKS)
        if not is_list and not number and buffer[position : position + 1] == "[":
            is_list, position = True, position + 1
        while True:
            position = _skipped(buffer, position, BLANKS + ",")
            if position == len(buffer) or (is_list and buffer[position] == "]"):
                break
            where = f"object {number + 1}"
            try:
                value, end = DECODER.raw_decode(buffer, position)
            except RecursionError:
                raise ValueError(_too_deep(where, limits)) from None
            except ValueError as error:
                if is_last:
                    raise ValueError(f"{where}: {error}") from error
                break  # the rest of it comes with the next block
            rows.append(_checked(value, buffer[position:end], where, limits, notes))
            number, position = number + 1, end
        if not rows:
            block_bytes *= 2  # an object that is longer than a block is looked at seldom
        buffer = buffer[position:]
        yield rows
    if is_list and buffer.strip(BLANKS) != "]":
        what = "something follows" if buffer else "there is no"
        raise ValueError(f"{what} the `]` behind object {number}")


def _skipped(text: str, position: int, letters: str) -> int:
    while position < len(text) and text[position] in letters:
        position += 1
    return position


def _checked(
    value: Any, text: str, where: str, limits: ManifestLimits, notes: Notes
) -> dict[str, Any]:
    """A row without half characters.

    Raises:
        ValueError: it is not an object, or nested too deeply.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{where} is not a JSON object")
    if text.count("[") + text.count("{") > limits.nesting and _depth(value) > limits.nesting + 1:
        raise ValueError(_too_deep(where, limits))
    if HALF in text.lower():
        mended = _mended(value)
        notes.num_mended += mended != value
        return dict(mended)
    return value


def _too_deep(where: str, limits: ManifestLimits) -> str:
    return f"{where} is nested more than {limits.nesting} deep; store it flat, or as text"


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level := [element for v in level for element in _elements(v)]:
        depth += 1
    return depth


def _elements(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values()) or [None]
    return (value or [None]) if isinstance(value, list) else []


def _mended(value: Any) -> Any:
    """The same with U+FFFD for every lone surrogate: no table can hold those."""
    if isinstance(value, str):
        return LONE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_mended(element) for element in value]
    if isinstance(value, dict):
        return {_mended(name): _mended(element) for name, element in value.items()}
    return value
