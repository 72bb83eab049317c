"""What a field of a config dataclass says of its command-line option, where the name, the type and
the docstring do not say it all. Imports nothing: a worker that holds a config needs no commands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

META = "option"


def option(
    *flags: str,
    parse: Callable[[str], Any] | None = None,
    default_shown: str | None = None,
    choices: Sequence[str] = (),
    panel: str | None = None,
    positional: bool = False,
    hidden: bool = False,
    help: str | None = None,
) -> dict[str, Any]:
    """Metadata of a dataclass field (`field(default=…, metadata=option(…))`).

    flags: names in place of `--field-name`. parse: text to value, where it is not a plain number,
    text or flag. default_shown: what --help shows for a default of None. choices: shown in help;
    the dataclass checks them. panel: heading of the group, for a field that is a dataclass.
    hidden: no option; the default stands.
    """
    return {
        META: Spec(
            flags=flags,
            parse=parse,
            default_shown=default_shown,
            choices=tuple(choices),
            panel=panel,
            positional=positional,
            hidden=hidden,
            help=help,
        )
    }


@dataclass(frozen=True)
class Named:
    """In a field's `Annotated`: the name by which people know it, where its own is too short."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What `option` says of a field."""

    flags: tuple[str, ...] = ()
    parse: Callable[[str], Any] | None = None
    default_shown: str | None = None
    choices: tuple[str, ...] = ()
    panel: str | None = None
    positional: bool = False
    hidden: bool = False
    help: str | None = None
