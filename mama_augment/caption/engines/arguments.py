"""Arguments that are handed on to an engine's own classes: `key=value`, JSON, or a file."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from mama_augment.core.errors import InputError


def read_arguments(option: str, given: Sequence[str], reserved: Collection[str]) -> dict[str, Any]:
    """What was given for an option that may be repeated; later ones win.

    given: each `key=value` (the value as JSON, else a text), a JSON object, or a .toml or .json
    file. reserved: keys that have an option of their own.

    Raises:
        InputError: another form, or a reserved key.
    """
    found: dict[str, Any] = {}
    for text in given:
        found |= _read_one(option, text)
    if taken := sorted(set(found) & set(reserved)):
        raise InputError(
            f"{option} gives {', '.join(taken)}, which this command sets itself; use the option "
            "of that name, or leave it out"
        )
    return found


def written(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """The same arguments as `key=value` in one way of writing; no file is needed any more."""
    return tuple(
        f"{key}={json.dumps(value, sort_keys=True, ensure_ascii=False)}"
        for key, value in sorted(arguments.items())
    )


def _read_one(option: str, text: str) -> dict[str, Any]:
    if text.lstrip().startswith("{"):
        return _object(option, text, text)
    key, sign, value = text.partition("=")
    if text.endswith((".json", ".toml")) and (not sign or Path(text).is_file()):
        return _read_file(option, Path(text).expanduser())
    if not sign or not key.strip().isidentifier():
        raise InputError(
            f"{option} is {text!r}; give key=value, a JSON object, or a .toml or .json file"
        )
    try:
        return {key.strip(): json.loads(value)}
    except ValueError:
        return {key.strip(): value}


def _read_file(option: str, path: Path) -> dict[str, Any]:
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{option} {str(path)!r} cannot be read: {error}") from error
    if path.suffix == ".json":
        return _object(option, str(path), content)
    try:
        return tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{option} {str(path)!r} is not valid TOML: {error}") from error


def _object(option: str, name: str, content: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError as error:
        raise InputError(f"{option} {name!r} is not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{option} {name!r} is not a JSON object of keys and values")
    return found
