"""What a user typed is shown as typed: never markup, and nothing that a terminal acts upon."""

from __future__ import annotations

import errno
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mama_augment.core.errors import InputError, StoppedError, TerminatedError
from mama_augment.core.shared import say


@pytest.fixture(autouse=True)
def plain() -> None:
    say.configure()


@given(st.text())
def test_what_is_shown_is_one_line_that_a_terminal_only_draws(text: str) -> None:
    line = say.shown(text)
    categories = {unicodedata.category(c) for c in line if c not in say.JOINERS}
    assert not categories & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert len(line.splitlines()) <= 1


@given(st.text(st.characters(categories=["L", "N", "P", "S", "M"]) | st.just(" ")))
def test_ordinary_text_of_any_script_is_shown_as_it_is(text: str) -> None:
    assert say.shown(text) == text


@pytest.mark.parametrize("text", ["[/red]", "a [v2] b", "[bold]x[/bold]", ":smile:", "\\[x]"])
def test_markup_is_printed_not_followed(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    say.say(f"output: {text}")
    say.tell(text, "error")
    say.table("a table", ("name",), [(text,)])
    printed = capsys.readouterr()
    assert f"output: {text}\n" in printed.out
    assert printed.err == f"error: {text}\n"
    assert printed.out.count(text) == 2


def test_a_long_path_is_not_folded(capsys: pytest.CaptureFixture[str]) -> None:
    path = "/".join(["folder"] * 60)
    say.say(f"output: {path}")
    assert f"output: {path}\n" == capsys.readouterr().out


def test_json_leaves_stdout_to_the_summary(capsys: pytest.CaptureFixture[str]) -> None:
    say.configure(json=True)
    say.say("a line")
    say.table("a table", ("n",), [(1,)])
    say.tell("not lost", "warning")
    say.summary({"path": "a[/red]\x1b[31m\n\u202e", "n": 1})
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"path": "a[/red]\x1b[31m\n\u202e", "n": 1}
    assert printed.out.count("\n") == 1
    assert printed.err == "warning: not lost\n"


def test_quiet_says_warnings_and_errors_alone(capsys: pytest.CaptureFixture[str]) -> None:
    say.configure(quiet=True)
    say.say("a line")
    say.tell("by the way")
    say.tell("mind this", "warning")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "warning: mind this\n")


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 1),
        (OSError(errno.EROFS, "Read-only file system"), 1),
        (OSError("When completing multipart upload: SERVICE_UNAVAILABLE"), 1),
        (StoppedError("the server refuses every request"), 1),
        (KeyboardInterrupt(), 130),
        (TerminatedError(), 143),
    ],
)
def test_an_early_end_says_what_is_kept_and_that_the_command_continues(
    error: BaseException, exit_code: int
) -> None:
    with pytest.raises(say.EndedError) as ended, say.keeping("clips", "my [out]"):
        raise error
    assert ended.value.end.exit_code == exit_code
    assert "clips are kept in my [out]" in ended.value.end.text
    assert "the same command continues" in ended.value.end.text


@pytest.mark.parametrize("error", [ValueError("a bug"), InputError("a mistake"), OSError(95, "?")])
def test_bugs_and_mistakes_are_not_taken_for_an_early_end(error: Exception) -> None:
    with pytest.raises(type(error)), say.keeping("clips", "out"):
        raise error
    assert say.ending(error) is None
