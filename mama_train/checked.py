"""Frozen, keyword-only dataclasses whose values are checked when they are made.

The checks are pydantic's, and strict: true is not 1, 2.0 is not a whole number, NaN is not a
number, a name that does not exist is a mistake. The messages are ours.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypeVar, dataclass_transform, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from mama_augment.core.errors import InputError, did_you_mean
from mama_augment.core.fields import Named

T = TypeVar("T")
STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
KINDS: dict[object, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    str: "a text",
    tuple[str, ...]: "a list of texts",
}


@dataclass_transform(kw_only_default=True, frozen_default=True)
def checked(cls: type[T]) -> type[T]:
    """A class decorator: a frozen, keyword-only dataclass that refuses wrong values.

    Types and the bounds in `Annotated` are checked first; what concerns several fields is up to
    `__post_init__`. Every mistake is an `InputError` that names the field, the value and what is
    allowed.
    """
    made: Any = pydantic_dataclass(cls, frozen=True, kw_only=True, config=STRICT)
    init = made.__init__

    @functools.wraps(init)
    def make(self: Any, **values: Any) -> None:
        try:
            init(self, **values)
        except ValidationError as error:
            raise _mistake(made, error) from None

    made.__init__ = make
    return made


def name_of(field: str, hint: Any) -> str:
    """The name by which people know a field."""
    found = [m.name for m in _metadata(hint) if isinstance(m, Named)]
    return found[0] if found else field


def from_text(name: str, hint: Any, text: str) -> Any:
    """A field's value as somebody types it; `none` where the field may be None,
    a list with commas. Bounds are not
    looked at: making the class does that.

    Raises:
        InputError: the text is not of the field's type.
    """
    bare = _bare(hint)
    if text.lower() == "none" and _may_be_none(hint):
        return None
    if get_origin(bare) is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        return TypeAdapter(bare, config=STRICT).validate_strings(text)
    except ValidationError:
        raise InputError(_refusal(name, _Typed(text), bare)) from None


class _Typed(str):
    """What somebody typed, which is shown as it is: `lr is nan`, not `lr is 'nan'`."""

    def __repr__(self) -> str:
        return str(self) or "''"


def unknown(what: str, value: Any, allowed: Iterable[str]) -> str:
    """A message about a name that does not exist, with the one that was probably meant."""
    names = list(allowed)
    return f"{what} {str(value)!r} is unknown; {did_you_mean(str(value), names)}"


def _mistake(cls: type, error: ValidationError) -> InputError:
    """What pydantic found first, in our words."""
    first = error.errors()[0]
    if first["type"] == "value_error":  # __post_init__ has said it
        told = first["ctx"]["error"]
        return told if isinstance(told, InputError) else InputError(str(told))
    hints = typing.get_type_hints(cls, include_extras=True)
    field = str(first["loc"][0])
    if field not in hints:
        return InputError(unknown("setting", field, [name_of(f, h) for f, h in hints.items()]))
    hint = hints[field]
    name = name_of(field, hint)
    if first["type"] == "missing":
        return InputError(f"{name} is missing; give {_wanted(_bare(hint))}")
    if first["type"].startswith(("greater_than", "less_than")):
        return InputError(f"{name} is {first['input']!r}; give {_bounds(hint)}")
    return InputError(_refusal(name, first["input"], _bare(hint)))


def _refusal(name: str, value: Any, bare: Any) -> str:
    """About a value of another type, or that is not one of a few."""
    if get_origin(bare) is Literal:
        return unknown(name, value, map(str, get_args(bare)))
    return f"{name} is {value!r}; give {_wanted(bare)}"


def _wanted(bare: Any) -> str:
    if get_origin(bare) is Literal:
        return f"one of {', '.join(map(str, get_args(bare)))}"
    return KINDS.get(bare) or f"a {bare.__name__}"


def _bounds(hint: Any) -> str:
    """The bounds in a hint, in words: `a number from 0 to below 1`."""
    low = [m for m in _metadata(hint) if isinstance(m, (Ge, Gt))]
    high = [m for m in _metadata(hint) if isinstance(m, (Le, Lt))]
    assert len(low) == 1 >= len(high), f"no words for the bounds of {hint}"
    start, end = low[0], high[0] if high else None
    if end is None:
        return f"at least {start.ge}" if isinstance(start, Ge) else f"a number above {start.gt}"
    up_to = f"below {end.lt}" if isinstance(end, Lt) else f"{end.le}"
    if isinstance(start, Ge):
        return f"a number from {start.ge} to {up_to}"
    return f"a number above {start.gt} and up to {up_to}"


def _metadata(hint: Any) -> list[Any]:
    """What `Annotated` says of a hint, also inside `… | None`."""
    if get_origin(hint) is Annotated:
        inner, *found = get_args(hint)
        return [*_metadata(inner), *found]
    if get_origin(hint) is Literal:
        return []
    return [m for inner in get_args(hint) for m in _metadata(inner)]


def _bare(hint: Any) -> Any:
    """The type alone: without `Annotated` and without None."""
    if get_origin(hint) is Annotated:
        return _bare(get_args(hint)[0])
    inner = [a for a in get_args(hint) if a is not type(None)]
    return _bare(inner[0]) if _may_be_none(hint) else hint


def _may_be_none(hint: Any) -> bool:
    return get_origin(hint) is not Literal and type(None) in get_args(hint)
