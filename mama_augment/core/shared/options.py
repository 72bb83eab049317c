"""Command-line options out of config dataclasses: type, default and help are written once.

A command is a frozen dataclass: its docstring is the command's help, its fields are options, and
calling it runs it. A field that is a config dataclass itself brings that one's fields as a group.
The docstring under a field is its option's help. `option(...)` in a field's metadata changes what
is derived. Typer builds a command from a function's signature, so all that is needed is a function
that has one.
"""

from __future__ import annotations

import inspect
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Protocol

import typer
from typer.core import TyperCommand

from mama_augment.core.errors import InputError
from mama_augment.core.safe.trust import trusting
from mama_augment.core.shared import say
from mama_augment.core.shared.leaves import Leaf, build, leaves, value_of
from mama_augment.core.shared.settings_file import read_config, shipped_text
from mama_augment.core.signals import handled, terminate

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
    _give_signature(root, [_parameter("version", bool, shown, False)])
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


def add_commands(app: typer.Typer, commands: Mapping[str, type[Command]], *, configs: str) -> None:
    """Make commands of dataclasses.

    configs: the package that holds the files that `--config NAME` names.
    """
    for name, config in commands.items():

        def load(value: str, settings: Sequence[str], name: str = name) -> dict[str, Any]:
            return read_config(value, name, settings, list(commands), configs)

        _add_command(app, name, config, _config_option(load, shipped_text(configs)))


def _add_command(
    app: typer.Typer, name: str, config: type[Command], config_option: ConfigOption
) -> None:
    by_name: dict[str, list[Leaf]] = {}
    for leaf in leaves(config):
        by_name.setdefault(leaf.name, []).append(leaf)
    parameters = [same[0].parameter() for same in by_name.values()]

    def call(**given: Any) -> None:
        say.configure(quiet=given.pop("quiet"), json=given.pop("json"))
        given.pop("config")
        trust = trusting(untrusted=given.pop("untrusted"), schemes=given.pop("allow_scheme"))
        values = {
            leaf.path: value_of(leaf, given[name])
            for name, same in by_name.items()
            for leaf in same
        }
        with trust:
            run_command(build(config, values))

    call.__name__ = name.replace("-", "_")
    call.__doc__ = inspect.getdoc(config)
    common = [config_option(list(by_name)), *_voice_options(), *_trust_options()]
    _give_signature(call, [*parameters, *(p for p in common if p.name not in by_name)])
    app.command(name, cls=_OneOfOurs)(call)


_UsageError: Any = typer.BadParameter.__base__
"""Of click, or of the copy that newer versions of Typer bring along."""


class _OneOfOurs(TyperCommand):
    """Says of what is wrong on a command line what Typer leaves out."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given = list(args)
        try:
            return list(super().parse_args(ctx, args))
        except _UsageError as raised:
            error: Any = raised
            parameter = getattr(error, "param", None)
            if isinstance(error, typer.BadParameter) and parameter is not None:
                value = _value_after([*parameter.opts, *parameter.secondary_opts], given)
                if value is not None and value not in error.message:
                    error.message = f"{value!r}: {error.message}"
            elif "unexpected extra argument" in error.message:
                error.message += ". A glob must stand in quotes: '*.mp4'"
            raise


def _value_after(flags: Sequence[str], given: Sequence[str]) -> str | None:
    """What stands after the last of these flags on a command line."""
    found = None
    for word, following in zip(given, [*given[1:], ""], strict=True):
        flag, equals, value = word.partition("=")
        if flag in flags:
            found = value if equals else following
    return found


def _give_signature(function: Any, parameters: Sequence[inspect.Parameter]) -> None:
    """All that Typer looks at."""
    function.__signature__ = inspect.Signature(parameters)
    function.__annotations__ = {p.name: p.annotation for p in parameters}


def run_command(command: Command) -> None:
    """Call it; what stops it is said in one message, and its exit code is passed on."""
    try:
        # A step and a training do more of their own on SIGTERM.
        with handled({signal.SIGTERM: terminate}):
            code = command()
    except (KeyboardInterrupt, Exception) as error:
        end = error.end if isinstance(error, say.EndedError) else say.ending(error)
        if end is None:
            raise
        say.tell(end.text, end.kind)
        code = end.exit_code
    raise typer.Exit(code)


ConfigOption = Callable[[Sequence[str]], inspect.Parameter]
"""Makes the parameter `--config` of a command from the names of its settings."""


def _config_option(
    load: Callable[[str, Sequence[str]], dict[str, Any]], shipped: str
) -> ConfigOption:
    def parameter(names: Sequence[str]) -> inspect.Parameter:
        def take(ctx: typer.Context, value: str | None) -> str | None:
            if value is not None:
                ctx.default_map = load(value, names)
            return value

        made = typer.Option(
            "--config",
            help="Settings from a TOML file, named as the options are; options on the command "
            "line win." + shipped,
            callback=take,
            is_eager=True,
            show_default=False,
            metavar="NAME|FILE",
            rich_help_panel=COMMON,
        )
        return _parameter("config", str | None, made, None)

    return parameter


def _voice_options() -> list[inspect.Parameter]:
    quiet = typer.Option("--quiet", help="Print warnings and errors only.", rich_help_panel=COMMON)
    json = typer.Option(
        "--json", help="Print the summary as one line of JSON.", rich_help_panel=COMMON
    )
    return [_parameter("quiet", bool, quiet, False), _parameter("json", bool, json, False)]


def _trust_options() -> list[inspect.Parameter]:
    untrusted = typer.Option(
        "--untrusted",
        help="The files that are read may mean harm: lower limits, no links, no addresses in them "
        "(docs/security.md). Or set MAMA_UNTRUSTED=1.",
        rich_help_panel=COMMON,
    )
    schemes = typer.Option(
        "--allow-scheme",
        help="A kind of address to open beside local paths, s3, gs and https, such as hf.",
        show_default=False,
        rich_help_panel=COMMON,
    )
    return [
        _parameter("untrusted", bool, untrusted, False),
        _parameter("allow_scheme", list[str], schemes, ()),
    ]


def _parameter(name: str, kind: Any, made: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[kind, made], default=default
    )
