"""What ends a command with a message and no traceback."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence


class InputError(ValueError):
    """A user's mistake: names the value given, what is allowed and the next step.

    Commands print its message without a traceback and exit with 2.
    """


class DamagedError(InputError):
    """A step directory whose header cannot be read; the message names the file."""


def check_positive(option: str, value: float) -> None:
    """Refuse what is not a finite number above 0.

    Raises:
        InputError: naming the option.
    """
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"{option} is {value}; a finite number above 0 is needed")


class StoppedError(RuntimeError):
    """What stops a step although no item of it is at fault: a dead engine, a server that refuses
    every request. Nothing is rejected for it; the units in flight stay pending."""


class TerminatedError(KeyboardInterrupt):
    """SIGTERM, when what was in flight has had its time."""


def did_you_mean(value: str, allowed: Sequence[str], word: str = "allowed") -> str:
    """`did you mean 'x'? Allowed: …`; without the question where nothing is near."""
    near = difflib.get_close_matches(str(value), allowed, n=1)
    names = ", ".join(allowed)
    if not near:
        return f"{word}: {names}"
    return f"did you mean {near[0]!r}? {word[0].upper()}{word[1:]}: {names}"


def check_choice(option: str, value: str, allowed: Sequence[str]) -> None:
    """Refuse a value that is not one of several.

    Raises:
        InputError: naming the option, and what is near.
    """
    if value not in allowed:
        raise InputError(f"{option} is {value!r}; {did_you_mean(value, allowed)}")
