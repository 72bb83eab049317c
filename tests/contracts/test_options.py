"""The command lines of both programs: no flag disappears, and each is a setting of a dataclass.

`flags.json` holds the flags of every command. After a change that is meant:

    python -m tests.contracts.test_options
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

from mama_augment.cli import app as augment
from mama_train.cli import app as train

FILE = Path(__file__).with_name("flags.json")
PROGRAMS = {"mama-augment": augment, "mama-train": train}


def flags() -> dict[str, list[str]]:
    """By command, every way to write each of its options, and its arguments."""
    found = {}
    for program, app in PROGRAMS.items():
        for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
            words = [w for p in command.params for w in (*p.opts, *p.secondary_opts)]
            found[f"{program} {name}"] = sorted(words)
    return found


def test_the_set_of_flags_is_frozen() -> None:
    assert flags() == json.loads(FILE.read_text())


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_option_has_help_that_reads_as_a_sentence(program: str) -> None:
    for name, command in typer.main.get_command(PROGRAMS[program]).commands.items():  # type: ignore[attr-defined]
        for parameter in command.params:
            text = parameter.help
            assert text, (name, parameter.name)
            assert text.endswith((".", ")")), (name, parameter.name, text)


if __name__ == "__main__":
    FILE.write_text(json.dumps(flags(), indent=1) + "\n")
