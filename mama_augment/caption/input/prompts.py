"""What the captioner is asked: named prompts, any text, or a template over the clip's columns."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import jinja2.nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mama_augment.caption.input.control import check_no_control
from mama_augment.core.errors import InputError

NAMED = {
    # The two prompts of the paper (arXiv 2407.03788) for a grid of key frames. A changed text
    # needs a new name: captions carry the name only.
    "process": "In a sentence, describe the process in the video.",
    "order": (
        "Write a short caption sentence for the video in order from left to right, top to bottom."
    ),
}

MAX_PROMPT_CHARACTERS = 100_000


class PromptRowError(ValueError):
    """A template cannot be filled from one clip's columns; that clip is rejected."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A prompt's name, as captions record it, and its text, a Jinja template or plain."""

    name: str
    text: str

    @property
    def is_template(self) -> bool:
        return "{{" in self.text or "{%" in self.text


def rendered(name: str, text: str, columns: Mapping[str, Any]) -> str:
    """A template's text for one clip; to be called where it may hang (`rendering`).

    Raises:
        PromptRowError: the template fails on these columns, or its result is absurdly long.
    """
    try:
        made = _compiled(text).render(columns)
    except MemoryError:
        raise
    except Exception as error:  # it is only this clip's
        why = str(error) or type(error).__name__
        raise PromptRowError(f"prompt template {name!r}: {why}") from error
    if len(made) > MAX_PROMPT_CHARACTERS:
        raise PromptRowError(
            f"prompt template {name!r} gives {len(made):,} characters; "
            f"at most {MAX_PROMPT_CHARACTERS:,} are sent"
        )
    return made


def resolve(value: str) -> Prompt:
    """The prompt that `--prompt` means: a name, else an existing file, else the text itself.

    Raises:
        InputError: `value` is one word and neither a name nor a file, an unreadable file, or a
            template with an error that shows without a clip.
    """
    if value in NAMED:
        return Prompt(name=value, text=NAMED[value])
    text = value
    if len(value) < 1000 and "\n" not in value and Path(value).is_file():
        try:
            text = Path(value).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"--prompt {value!r} cannot be read as UTF-8 text: {error}") from error
    elif len(value.split()) < 2:
        raise InputError(
            f"--prompt is {value!r}; give one of {', '.join(NAMED)}, an existing file, or a text "
            "of at least two words"
        )
    if not text:
        raise InputError(f"--prompt {value!r} is empty")
    check_no_control("--prompt", text)
    prompt = Prompt(name=f"text-{hashlib.sha256(text.encode()).hexdigest()[:8]}", text=text)
    if prompt.is_template:
        try:
            _check_names(_environment().parse(text))
        except jinja2.TemplateSyntaxError as error:
            raise InputError(
                f"--prompt {value!r} is not a valid Jinja template: line {error.lineno}: {error}"
            ) from error
        except RecursionError as error:
            raise InputError(
                f"--prompt {value[:80]!r} is nested too deeply for a Jinja template; nest less"
            ) from error
    return prompt


def _check_names(tree: jinja2.nodes.Template) -> None:
    """Refuse filters and tests that there are not. Compiling would tell, and compute what is
    constant, however long that takes.

    Raises:
        TemplateSyntaxError: naming one.
    """
    environment = _environment()
    for kind, known in (
        (jinja2.nodes.Filter, environment.filters),
        (jinja2.nodes.Test, environment.tests),
    ):
        for node in tree.find_all(kind):
            if node.name not in known:
                word = kind.__name__.lower()
                raise jinja2.TemplateSyntaxError(f"no {word} named {node.name!r}", node.lineno)


def check_columns(prompt: Prompt, columns: list[str]) -> None:
    """Refuse a template over columns that the clips do not have, before any work.

    Raises:
        InputError: naming the unknown columns and those there are.
    """
    if not prompt.is_template:
        return
    from jinja2 import meta

    unknown = meta.find_undeclared_variables(_environment().parse(prompt.text)) - set(columns)
    if unknown:
        raise InputError(
            f"the prompt template uses {', '.join(sorted(unknown))}, which the clips do not have; "
            f"their columns: {', '.join(columns)}"
        )


@functools.lru_cache(maxsize=4)
def _compiled(text: str) -> jinja2.Template:
    return _environment().from_string(text)


def _environment() -> ImmutableSandboxedEnvironment:
    """Sandboxed: a prompt file may come from someone else, and must not run code here."""
    return ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined)
