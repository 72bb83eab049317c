"""Commands out of dataclasses: names, types, defaults, help and groups are written once."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from typer.testing import CliRunner

from mama_augment.core.errors import InputError
from mama_augment.core.fields import option
from mama_augment.core.shared import say
from mama_augment.core.shared.leaves import field_docstrings, leaves
from mama_augment.core.shared.options import add_commands, make_app


@dataclass(frozen=True, kw_only=True)
class Inner:
    """A group."""

    kind: Literal["one", "two"] = "one"
    """Which of both."""
    seed: int = 0
    """Decides every draw."""
    secret: int = field(default=7, metadata=option(hidden=True))


@dataclass(frozen=True, kw_only=True)
class Other:
    """Another group, which shares the seed."""

    seed: int = 0
    """Decides every draw."""
    is_on: bool = True
    """Whether it is on [by default]."""
    limit: float | None = None
    """No limit by default."""


@dataclass(frozen=True, kw_only=True)
class Toy:
    """Show what was given."""

    names: tuple[str, ...] = field(default=(), metadata=option(positional=True))
    """Any number of names."""
    out: str
    """Where to."""
    size: tuple[int, int] = field(
        default=(3, 4), metadata=option("--size", "-s", "--old-size", parse=lambda t: _size(t))
    )
    """Rows x columns."""
    inner: Inner = field(metadata=option(panel="Inside"))
    other: Other

    def __call__(self) -> int:
        say.summary({"toy": repr(self)})
        return 3


def _size(text: str) -> tuple[int, int]:
    rows, _, columns = text.partition("x")
    return int(rows), int(columns)


@pytest.fixture(autouse=True)
def plain() -> None:
    say.configure()


def call(*words: str) -> str:
    app = make_app("toy", "A toy.", "1.2.3")
    add_commands(app, {"toy": Toy, "same": Toy}, configs="mama_augment.configs")
    result = CliRunner().invoke(app, words)
    if isinstance(result.exception, InputError):
        raise result.exception
    return result.output if result.exit_code in (0, 2) else json.loads(result.stdout)["toy"]


def test_defaults_stand_and_groups_are_built() -> None:
    made = repr(Toy(out="x", inner=Inner(), other=Other()))
    assert call("toy", "--out", "x", "--json") == made


def test_every_form_of_option_reaches_its_field() -> None:
    words = [
        "toy",
        "a",
        "b",
        "--out",
        "x",
        "--kind",
        "two",
        "--seed",
        "5",
        "--no-is-on",
        "--limit",
        "0.5",
        "-s",
        "1x2",
        "--json",
    ]
    made = Toy(
        names=("a", "b"),
        out="x",
        size=(1, 2),
        inner=Inner(kind="two", seed=5),
        other=Other(seed=5, is_on=False, limit=0.5),
    )
    assert call(*words) == repr(made)
    assert call(*[w.replace("-s", "--old-size") if w == "-s" else w for w in words]) == repr(made)


def test_help_shows_docstrings_choices_and_groups_and_hides_what_is_hidden() -> None:
    text = " ".join(call("toy", "-h").replace("│", " ").split())
    for part in ("Show what was given.", "Which of both: one, two.", "Inside", "[by default]"):
        assert part in text
    assert "secret" not in text
    assert call("--version") == "toy 1.2.3\n"


def test_settings_come_from_a_file_and_the_command_line_wins(tmp_path: Path) -> None:
    file = tmp_path / "my [settings].toml"
    file.write_text('out = "from the top"\n[toy]\nkind = "two"\nlimit = 2\n[same]\nkind = "one"\n')
    made = Toy(out="here", inner=Inner(kind="two"), other=Other(limit=2.0))
    assert call("toy", "--config", str(file), "--out", "here", "--json") == repr(made)
    of_same = Toy(out="from the top", inner=Inner(kind="one"), other=Other())
    assert call("same", "--config", str(file), "--json") == repr(of_same)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sead = 1", r"`toy` has no setting 'sead'; did you mean 'seed'\?"),
        ("[toy]\nsecret = 1", "has no setting 'secret'"),
        ("out = ", "is not a TOML file"),
        ("[other]\nseed = 1", r"no command 'other' for its table \[other\]"),
        ("[tyo]\nseed = 1", r"did you mean 'toy'\?"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "toy.toml"
    file.write_text(content)
    with pytest.raises(InputError, match=message):
        call("toy", "--config", str(file), "--out", "x")
    with pytest.raises(InputError, match=r"'nowhere\.toml', which is not a file"):
        call("toy", "--config", "nowhere.toml", "--out", "x")


def test_a_field_without_a_docstring_is_a_bug() -> None:
    @dataclass(frozen=True)
    class Untold:
        untold: int = 0

    with pytest.raises(AssertionError, match=r"Untold.untold has no docstring"):
        list(leaves(Untold))
    assert field_docstrings(Inner) == {"kind": "Which of both.", "seed": "Decides every draw."}
