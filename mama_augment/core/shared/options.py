"""Command-line options out of config dataclasses: type, default and help are written once.

A command is a frozen dataclass: its docstring is the command's help, its fields are options, and
calling it runs it. A field that is a config dataclass itself brings that one's fields as a group.
The docstring under a field is its option's help. `option(...)` in a field's metadata changes what
is derived. Typer builds a command from a function's signature, so all that is needed is a function
that has one.
"""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol

import typer

from mama_augment.core.errors import InputError
from mama_augment.core.shared import say
from mama_augment.core.shared.leaves import Leaf, build, leaves, value_of
from mama_augment.core.shared.settings_file import read_config, shipped_text

COMMON = "Every command"


class Command(Protocol):
    """What a command dataclass is: something to call that returns an exit code."""

    def __call__(self) -> int: ...


def make_app(name: str, help: str, version: str) -> typer.Typer:
    """A program without commands yet, with `--version` and `-h`."""
    app = typer.Typer(
        name=name,
        help=help,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    def show_version(value: bool) -> None:
        if value:
            say.say(f"{name} {version}")
            raise typer.Exit

    def root(version: bool = False) -> None:
        pass

    shown = typer.Option(
        "--version", help="Show the version.", callback=show_version, is_eager=True
    )
    _give_signature(
        root,
        [
            inspect.Parameter(
                "version",
                inspect.Parameter.KEYWORD_ONLY,
                annotation=Annotated[bool, shown],
                default=False,
            )
        ],
    )
    root.__doc__ = help
    app.callback()(root)
    return app


def run_program(app: typer.Typer) -> None:
    """Entry point of a program: a user's mistake becomes one clear message and exit code 2."""
    threading.excepthook = say.thread_ended
    try:
        app()
    except InputError as error:
        say.tell(error, "error")
        sys.exit(2)


def add_command(app: typer.Typer, name: str, config: type[Any], *, configs: str) -> None:
    """Make a command of a dataclass.

    configs: the package that holds the files that `--config NAME` names.
    """
    found = list(leaves(config))
    by_name: dict[str, list[Leaf]] = {}
    for leaf in found:
        by_name.setdefault(leaf.name, []).append(leaf)
    parameters = [same[0].parameter() for same in by_name.values()]

    def call(**given: Any) -> None:
        say.configure(quiet=given.pop("quiet"), json=given.pop("json"))
        given.pop("config")
        values = {
            leaf.path: value_of(leaf, given[name])
            for name, same in by_name.items()
            for leaf in same
        }
        run_command(build(config, values))

    call.__name__ = name.replace("-", "_")
    call.__doc__ = inspect.getdoc(config)
    _give_signature(call, [*parameters, *_common(name, by_name, configs)])
    app.command(name)(call)


def _give_signature(function: Any, parameters: Sequence[inspect.Parameter]) -> None:
    """All that Typer looks at."""
    function.__signature__ = inspect.Signature(parameters)
    function.__annotations__ = {p.name: p.annotation for p in parameters}


def run_command(command: Command) -> None:
    """Call it; what stops it is said in one message, and its exit code is passed on."""
    try:
        code = command()
    except (KeyboardInterrupt, Exception) as error:
        end = error.end if isinstance(error, say.EndedError) else say.ending(error)
        if end is None:
            raise
        say.tell(end.text, end.kind)
        code = end.exit_code
    raise typer.Exit(code)


def _common(
    command: str, by_name: Mapping[str, list[Leaf]], configs: str
) -> list[inspect.Parameter]:
    """Options that every command has."""

    def load(ctx: typer.Context, value: str | None) -> str | None:
        if value is not None:
            ctx.default_map = read_config(value, command, list(by_name), configs)
        return value

    settings: list[tuple[str, Any, Any, Any]] = [
        (
            "config",
            str | None,
            typer.Option(
                "--config",
                help="Settings from a TOML file, named as the options are; options on the command "
                "line win." + shipped_text(configs),
                callback=load,
                is_eager=True,
                show_default=False,
                metavar="NAME|FILE",
                rich_help_panel=COMMON,
            ),
            None,
        ),
        (
            "quiet",
            bool,
            typer.Option("--quiet", help="Print warnings and errors only.", rich_help_panel=COMMON),
            False,
        ),
        (
            "json",
            bool,
            typer.Option(
                "--json", help="Print the summary as one line of JSON.", rich_help_panel=COMMON
            ),
            False,
        ),
    ]
    return [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[kind, made], default=default
        )
        for name, kind, made, default in settings
        if name not in by_name
    ]
