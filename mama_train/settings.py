"""Settings by name: every field of a config and of its parts has a flat name (`lr`) and a dotted
one (`optim.lr`), in `--set name=value`, in files of comparisons and in a run's config.json.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mama_augment.core.errors import InputError
from mama_train.checked import from_text, name_of, unknown


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One field of a config or of a part of it.

    path: the fields that lead to it. hint: its type, with the bounds in `Annotated`. default:
    `dataclasses.MISSING` where it must be given.
    """

    name: str
    path: tuple[str, ...]
    hint: Any
    default: Any

    @property
    def dotted(self) -> str:
        """`optim.lr`."""
        return ".".join(self.path)


def settings_of(config: type, above: tuple[str, ...] = ()) -> list[Setting]:
    """All settings of a config class, those of its parts in place."""
    hints = typing.get_type_hints(config, include_extras=True)
    found: list[Setting] = []
    for field in dataclasses.fields(config):
        hint, path = hints[field.name], (*above, field.name)
        if dataclasses.is_dataclass(hint):
            found += settings_of(typing.cast(type, hint), path)
        else:
            name = name_of(field.name, hint)
            found.append(Setting(name=name, path=path, hint=hint, default=field.default))
    return found


def by_flat_name(config: type) -> dict[str, Setting]:
    """The table of flat names; no two settings may share one."""
    settings = settings_of(config)
    table = {s.name: s for s in settings}
    assert len(table) == len(settings), f"ambiguous: {sorted(s.name for s in settings)}"
    return table


def flat(given: Mapping[str, Any], table: Mapping[str, Setting]) -> dict[str, Any]:
    """Values by flat name of values by flat or dotted name, or in tables of parts.

    Raises:
        InputError: a name does not exist, or two names mean one setting.
    """
    names = {s.dotted: s.name for s in table.values()} | {name: name for name in table}
    found: dict[str, Any] = {}
    for told, value in _leaves(given):
        if told not in names:
            alike = [name for name in names if ("." in name) == ("." in told)]
            raise InputError(unknown("setting", told, sorted(alike)))
        if names[told] in found:
            raise InputError(f"{told!r} sets {names[told]} a second time; give it once")
        found[names[told]] = value
    return found


def make(config: type, values: Mapping[str, Any], table: Mapping[str, Setting]) -> Any:
    """A config of values by flat name; what is not given has its default.

    Raises:
        InputError: a value is not allowed.
    """
    own: dict[str, Any] = {}
    of_part: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        *above, field = table[name].path
        (of_part.setdefault(above[0], {}) if above else own)[field] = value
    hints = typing.get_type_hints(config)
    parts = {part: hints[part](**fields) for part, fields in of_part.items()}
    return config(**own, **parts)


def parse(texts: Iterable[str], table: Mapping[str, Setting]) -> dict[str, Any]:
    """Values by flat name of `name=value` texts.

    Raises:
        InputError: one has no such form, no such name, or no value of its type.
    """
    found: dict[str, Any] = {}
    for text in texts:
        told, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--set {text!r}: give name=value; names: {', '.join(table)}")
        try:
            (name,) = flat({told.strip().replace("-", "_"): None}, table)
            found[name] = from_text(name, table[name].hint, value.strip())
        except InputError as error:
            raise InputError(f"--set {text!r}: {error}") from error
    return found


def _leaves(given: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    """(dotted name, value); `[optim] lr = 1` of a TOML file is `optim.lr`."""
    found: list[tuple[str, Any]] = []
    for name, value in given.items():
        if isinstance(value, dict):
            found += _leaves(value, f"{above}{name}.")
        else:
            found.append((f"{above}{name}", value))
    return found
