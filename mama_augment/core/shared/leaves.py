"""The fields of a config dataclass, nested ones included, as options; and an object from values."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import types
import typing
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from rich.markup import escape

from mama_augment.core.fields import META, Named, Spec

UNGROUPED = "Options"


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """One option: the field that it fills, below which fields of the command."""

    path: tuple[str, ...]
    field: dataclasses.Field[Any]
    annotation: Any
    spec: Spec
    help: str
    panel: str

    @property
    def name(self) -> str:
        """The parameter's name: that of the option, so that files use the same."""
        flag = next((f for f in self.flags if f.startswith("--")), self.path[-1])
        return flag.split("/")[0].lstrip("-").replace("-", "_")

    @property
    def field_name(self) -> str:
        """As the field says by `Named`, else its own."""
        named = [m.name for m in _metadata(self.annotation) if isinstance(m, Named)]
        return named[0] if named else self.path[-1]

    @property
    def flags(self) -> tuple[str, ...]:
        """`--name`, and `--no-name` beside it for what is on by default."""
        if self.spec.flags or self.spec.positional:
            return self.spec.flags
        name = self.field_name.replace("_", "-")
        return (f"--{name}/--no-{name}",) if self.default is True else (f"--{name}",)

    @property
    def default(self) -> Any:
        """`dataclasses.MISSING` for what must be given."""
        if self.field.default_factory is not dataclasses.MISSING:
            return self.field.default_factory()
        return self.field.default

    def parameter(self) -> inspect.Parameter:
        """As Typer wants it."""
        kind = str if self.spec.parse else _plain(self.annotation)
        default = self.default
        is_required = default is dataclasses.MISSING
        settings: dict[str, Any] = {"help": escape(self.help_text)}
        if self.panel != UNGROUPED and not self.spec.positional:
            settings["rich_help_panel"] = self.panel
        if not is_required and self.spec.parse and default is not None:
            default = str(default)
        if self.spec.default_shown is not None:
            settings["show_default"] = self.spec.default_shown
        elif default is None or default is False or default == ():
            settings["show_default"] = False
        if self.spec.positional:
            settings["metavar"] = self.name.upper()
        made = (
            typer.Argument(**settings)
            if self.spec.positional
            else typer.Option(*self.flags, **settings)
        )
        kind = kind | None if default is None else kind
        return inspect.Parameter(
            self.name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=Annotated[kind, made],
            default=inspect.Parameter.empty if is_required else default,
        )

    @property
    def help_text(self) -> str:
        """With the choices there are, unless the text names them."""
        choices = self.spec.choices or _choices(self.annotation)
        if not choices or all(choice in self.help for choice in choices):
            return self.help
        return f"{self.help.removesuffix('.')}: {', '.join(choices)}."


def leaves(config: type[Any], path: tuple[str, ...] = (), panel: str = UNGROUPED) -> Iterator[Leaf]:
    """The options of a dataclass, nested ones included, in the order of its fields."""
    hints = typing.get_type_hints(config, include_extras=True)
    texts = field_docstrings(config)  # type: ignore[arg-type]
    for field in dataclasses.fields(config):
        spec: Spec = field.metadata.get(META, Spec())
        if spec.hidden or not field.init:
            continue
        annotation = hints[field.name]
        if dataclasses.is_dataclass(annotation) and spec.parse is None:
            assert isinstance(annotation, type), annotation
            yield from leaves(annotation, (*path, field.name), spec.panel or panel)
            continue
        text = spec.help or texts.get(field.name)
        assert text, f"{config.__name__}.{field.name} has no docstring to be its help"
        yield Leaf(
            path=(*path, field.name),
            field=field,
            annotation=annotation,
            spec=spec,
            help=text,
            panel=spec.panel or panel,
        )


@functools.cache
def field_docstrings(config: Hashable) -> dict[str, str]:
    """The text under each field of a dataclass, of its bases too, on one line."""
    assert isinstance(config, type), config
    found: dict[str, str] = {}
    for owner in reversed(config.__mro__):
        if not dataclasses.is_dataclass(owner):
            continue
        body = _classes(inspect.getsourcefile(owner) or "")[owner.__name__]
        for statement, text in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
            ):
                found[statement.target.id] = " ".join(str(text.value.value).split())
    return found


@functools.cache
def _classes(file: str) -> dict[str, ast.ClassDef]:
    """The classes of a source file by name; each file is parsed once."""
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


def build(
    config: type[Any], values: Mapping[tuple[str, ...], Any], path: tuple[str, ...] = ()
) -> Any:
    """An object of a dataclass from the values of its leaves."""
    fields: dict[str, Any] = {}
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        here = (*path, field.name)
        if here in values:
            fields[field.name] = values[here]
        elif any(there[: len(here)] == here for there in values):
            fields[field.name] = build(hints[field.name], values, here)
    return config(**fields)


def value_of(leaf: Leaf, given: Any) -> Any:
    if leaf.spec.parse is not None and isinstance(given, str):
        return leaf.default if given == str(leaf.default) else leaf.spec.parse(given)
    origin = get_origin(leaf.annotation)
    if origin is tuple or any(get_origin(a) is tuple for a in get_args(leaf.annotation)):
        return tuple(given or ())
    return given


def _metadata(annotation: Any) -> tuple[Any, ...]:
    """What `Annotated` says of a type, also inside `… | None`."""
    if get_origin(annotation) is Annotated:
        return annotation.__metadata__
    if get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(m for inner in get_args(annotation) for m in _metadata(inner))
    return ()


def _plain(annotation: Any) -> Any:
    """The type that Typer shall convert to: without None, choices as text, tuples as lists."""
    if get_origin(annotation) in (typing.Union, types.UnionType):
        annotation = next(a for a in get_args(annotation) if a is not type(None))
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is Literal:
        return str
    if get_origin(annotation) in (tuple, list):
        return list[get_args(annotation)[0]]  # type: ignore[misc]
    return annotation


def _choices(annotation: Any) -> tuple[str, ...]:
    if get_origin(annotation) in (typing.Union, types.UnionType):
        annotation = next(a for a in get_args(annotation) if a is not type(None))
    return get_args(annotation) if get_origin(annotation) is Literal else ()
