"""What a child process answers: JSON and blocks of bytes. It is read, never unpickled.

A child decodes strangers' files; whoever takes it over must gain nothing here. So an answer is made
of null, numbers, texts, bytes, lists and dicts alone (dataclasses become dicts), and its reader
says what it must look like (`check`). An exception comes back as the one that it names, if that is
this package's or built in.

Layout: 4 bytes, the length of the JSON; the JSON; the blocks. Bytes stand in the JSON as
`{"$bytes": [start, length]}`.
"""

from __future__ import annotations

import builtins
import dataclasses
import functools
import importlib
import json
import traceback
from typing import Any

KEY = "$bytes"
HEAD_BYTES = 4
MOST_BYTES = 2**28
"""Key frames of a clip take a few megabytes, rarely more than a hundred."""
PACKAGE = "mama_augment"
Scalar = str | int | float | bool | None
ANSWER, ERROR = b"+", b"-"
"""How a message begins."""


class BadAnswerError(ValueError):
    """No answer that our own code would give."""


def packed(value: object) -> bytes:
    """An answer as bytes."""
    blocks = bytearray()
    head = json.dumps(_plain(value, blocks)).encode()
    return b"".join([len(head).to_bytes(HEAD_BYTES, "big"), head, blocks])


def unpacked(content: bytes) -> Any:
    """What was packed, with dicts for dataclasses and lists for tuples.

    Raises:
        BadAnswerError: it is not what `packed` makes.
    """
    start = HEAD_BYTES + int.from_bytes(content[:HEAD_BYTES], "big")
    if start > len(content):
        raise BadAnswerError("an answer cut short")
    blocks = memoryview(content)[start:]

    def bytes_of(found: dict[str, Any]) -> Any:
        if KEY not in found:
            return found
        first, length = found[KEY]
        if not 0 <= first <= first + length <= len(blocks):
            raise BadAnswerError("an answer that points outside itself")
        return bytes(blocks[first : first + length])

    try:
        return json.loads(content[HEAD_BYTES:start], object_hook=bytes_of)
    except (ValueError, TypeError, RecursionError) as error:
        raise BadAnswerError(f"not an answer: {error}") from error


def check(kind: Any, value: object) -> Any:
    """`value`, as an object of a type (dataclasses, lists, …).

    Raises:
        BadAnswerError: it does not fit.
    """
    from pydantic import ValidationError

    try:
        return _reader(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise BadAnswerError(f"an answer whose {place or 'content'} does not fit") from None


@functools.lru_cache(maxsize=16)
def _reader(kind: Any) -> Any:
    """Made once: that takes a millisecond, and a small clip takes twenty."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def packed_error(error: BaseException) -> bytes:
    """An exception with its traceback; `error` in it is None where the parent cannot know it."""
    kind = type(error)
    named = None
    given = error.args
    if isinstance(error, OSError) and error.filename is not None:
        given = (error.errno, error.strerror, error.filename)
    arguments = [a if isinstance(a, Scalar) else str(a) for a in given]
    made = _made(kind.__module__, kind.__qualname__, arguments)
    if made is not None and type(made) is kind:
        named = [kind.__module__, kind.__qualname__, arguments]
    return packed({"error": named, "trace": traceback.format_exception(error)})


def unpacked_error(content: Any) -> tuple[Exception | None, list[str]]:
    """(the exception, its traceback).

    Raises:
        BadAnswerError: it is not what `packed_error` makes.
    """
    try:
        named, trace = content["error"], [str(line) for line in content["trace"]]
        made = None if named is None else _made(*named)
    except (KeyError, TypeError, ValueError) as error:
        raise BadAnswerError(f"not an error: {error}") from error
    return made, trace


def _made(module: str, name: str, arguments: list[Scalar]) -> Exception | None:
    """An exception by its name; None for what is neither ours nor built in."""
    if module != builtins.__name__ and module.split(".")[0] != PACKAGE:
        return None
    try:
        kind: Any = importlib.import_module(module)
        for part in name.split("."):
            kind = getattr(kind, part)
        return kind(*arguments) if issubclass(kind, Exception) else None
    except Exception:  # it takes other arguments than it keeps
        return None


def _plain(value: object, blocks: bytearray) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {f.name: _plain(getattr(value, f.name), blocks) for f in fields}
    if isinstance(value, bytes):
        blocks += value
        return {KEY: [len(blocks) - len(value), len(value)]}
    if isinstance(value, list | tuple):
        return [_plain(item, blocks) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item, blocks) for key, item in value.items()}
    assert isinstance(value, Scalar), type(value)
    return value
