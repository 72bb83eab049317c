"""The one voice of both programs: what they print, and how they say that they end early.

Texts that a user gave (paths, captions, names) are never markup, and their control characters are
shown instead of being sent to the terminal. Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import errno
import json
import threading
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.status import Status
from rich.table import Table
from rich.text import Text

from mama_augment.core.errors import StoppedError, TerminatedError

DISK_ERRORS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM),
    *(errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ENAMETOOLONG, errno.ENOENT, errno.ENODEV),
    *(errno.ENOTDIR, errno.ECONNREFUSED, errno.ECONNRESET, errno.ETIMEDOUT, errno.EHOSTUNREACH),
)
"""A disk or a store that is full, may not be written to, or is gone."""
STYLES = {"error": "bold red", "stopped": "bold red", "problem": "red", "warning": "yellow"}
JOINERS = "\u200c\u200d"
"""Invisible, but part of how words of some scripts and many emoji are written."""

_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)


@dataclass
class _Mode:
    quiet: bool = False
    json: bool = False


_mode = _Mode()


def configure(*, quiet: bool = False, json: bool = False) -> None:
    """quiet: nothing but warnings and errors. json: stdout carries one JSON summary and no more."""
    _mode.quiet, _mode.json = quiet, json


def is_json() -> bool:
    """Whether a script reads the summary, and nothing else is shown."""
    return _mode.json


def shown(text: object) -> str:
    """`text` on one line, with what a terminal would act upon as escapes (`\\x1b`, `\\u202e`)."""
    line = str(text)
    return line if line.isprintable() else "".join(map(_shown, line))


def _shown(character: str) -> str:
    if unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character
    return character if character in JOINERS else character.encode("unicode_escape").decode()


def say(text: object, *, style: str = "") -> None:
    """One line of the result, however long: it is not folded, so that a path can be copied."""
    if not (_mode.quiet or _mode.json):
        _out.print(Text(shown(text), style), soft_wrap=True)


def tell(text: object, kind: str = "") -> None:
    """One line beside the result, on stderr; a `kind` (error, warning, …) stands before it."""
    if _mode.quiet and kind not in STYLES:
        return
    prefix = (f"{kind}: ", STYLES.get(kind, "bold")) if kind else ""
    _err.print(Text.assemble(prefix, shown(text)), soft_wrap=True)


def table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    right: Sequence[str] | str = (),
    max_widths: Mapping[str, int] | None = None,
) -> None:
    """A table of the result. right: names of the columns that are aligned right; `*` is all."""
    if _mode.quiet or _mode.json:
        return
    aligned = columns if right == "*" else right
    made = Table(title=Text(shown(title)), title_justify="left", show_header=any(columns))
    for column in columns:
        justify: Any = "right" if column in aligned else "left"
        made.add_column(
            Text(shown(column)),
            justify=justify,
            overflow="fold",
            min_width=min(5, len(column)),
            max_width=(max_widths or {}).get(column),
        )
    for row in rows:
        made.add_row(*(Text(shown(cell)) for cell in row))
    _out.print(made)


def summary(fields: Mapping[str, Any]) -> None:
    """What a script reads of a command (`--json`); nothing for a person."""
    if _mode.json:
        _out.print(Text(json.dumps(dict(fields), ensure_ascii=True, default=str)), soft_wrap=True)


def bar(*columns: ProgressColumn) -> Progress:
    """A progress bar of one's own columns, on stderr; what is told meanwhile stands above it."""
    return Progress(*columns, console=_err, disable=_mode.quiet)


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.1f}/s" if task.speed else "")


class Terminal:
    """A `core.step.Teller` that shows phases and a bar on stderr."""

    def __init__(self) -> None:
        self._status: Status | None = None

    def phase(self, text: str) -> None:
        """A spinner with what is being prepared, until there is something to count."""
        if _mode.quiet:
            return
        if self._status is None:
            self._status = _err.status("")
            self._status.start()
        self._status.update(Text(shown(text)))

    def progress(
        self, name: str, num_total: int, num_done: int = 0
    ) -> AbstractContextManager[Callable[[int], None]]:
        """A bar over `num_total` items, `num_done` of them from an earlier run."""
        self.close()
        return self._progress(name, num_total, num_done)

    @contextmanager
    def _progress(
        self, name: str, num_total: int, num_done: int
    ) -> Iterator[Callable[[int], None]]:
        columns = (
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with bar(*columns) as shown_bar:
            task_id = shown_bar.add_task(name, total=num_total, completed=num_done)
            yield lambda num_items: shown_bar.advance(task_id, num_items)

    def close(self) -> None:
        """Take the spinner away."""
        if self._status is not None:
            self._status.stop()
            self._status = None


@contextmanager
def terminal() -> Iterator[Terminal]:
    """A `Terminal` whose spinner goes before anything else is said."""
    teller = Terminal()
    try:
        yield teller
    finally:
        teller.close()


@dataclass(frozen=True)
class Ending:
    """How a command ends early: what is said of it, and its exit code."""

    kind: str
    text: str
    exit_code: int


def ending(error: BaseException, kept: str = "") -> Ending | None:
    """The message of what is neither a bug nor a user's mistake; None for all other errors.

    kept: what stays of the work, and that the same command continues.
    """
    if isinstance(error, TerminatedError):
        return Ending("stopped", f"ended by SIGTERM. {kept}".strip(), 143)
    if isinstance(error, KeyboardInterrupt):
        return Ending("stopped", f"interrupted. {kept}".strip(), 130)
    if isinstance(error, StoppedError) or is_disk_error(error):
        text = str(error).removesuffix(".")
        return Ending("stopped", f"{text}. {kept}".strip() if kept else text, 1)
    return None


class EndedError(Exception):
    """A command ends early; `end` says how. Raised from the error that ended it."""

    def __init__(self, end: Ending) -> None:
        super().__init__(end.text)
        self.end = end


@contextmanager
def keeping(noun: str, out: str, again: str = "the same command") -> Iterator[None]:
    """Inside, an early end says what is kept where, and which command continues."""
    try:
        yield
    except (KeyboardInterrupt, StoppedError, OSError) as error:
        kept = f"Finished {noun} are kept in {out}; "
        if not isinstance(error, KeyboardInterrupt):
            kept += "once the cause is fixed, "
        end = ending(error, f"{kept}{again} continues")
        if end is None:
            raise
        raise EndedError(end) from error


def thread_ended(end: threading.ExceptHookArgs) -> None:
    """A `threading.excepthook`: a library's thread that meets a full disk is no traceback."""
    if end.exc_value is not None and is_disk_error(end.exc_value):
        tell(f"a thread in the background ended: {end.exc_value}", "warning")
    else:
        threading.__excepthook__(end)


def is_disk_error(error: BaseException) -> bool:
    """Whether a disk or a store is full, may not be written to, or is gone.

    Object stores give no number. Other errors of the system are bugs.
    """
    return isinstance(error, OSError) and (error.errno is None or error.errno in DISK_ERRORS)
