"""What the captioner is asked: named prompts, any text, or a template over the clip's columns."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError

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

    def render(self, columns: Mapping[str, Any]) -> str:
        """The text for one clip.

        Raises:
            PromptRowError: the template fails on these columns, or its result is absurdly long.
        """
        if not self.is_template:
            return self.text
        try:
            rendered = _environment().from_string(self.text).render(columns)
        except Exception as error:  # also memory and recursion: it is only this clip's
            why = str(error) or type(error).__name__
            raise PromptRowError(f"prompt template {self.name!r}: {why}") from error
        if len(rendered) > MAX_PROMPT_CHARACTERS:
            raise PromptRowError(
                f"prompt template {self.name!r} gives {len(rendered):,} characters; "
                f"at most {MAX_PROMPT_CHARACTERS:,} are sent"
            )
        return rendered


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
            _environment().from_string(text)
        except jinja2.TemplateSyntaxError as error:
            raise InputError(
                f"--prompt {value!r} is not a valid Jinja template: line {error.lineno}: {error}"
            ) from error
        except RecursionError as error:
            raise InputError(
                f"--prompt {value[:80]!r} is nested too deeply for a Jinja template; nest less"
            ) from error
    return prompt


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


class _Environment(ImmutableSandboxedEnvironment):
    """Sandboxed: a prompt file may come from someone else, and must not run code here.

    Nor may a short template fill the memory: only texts, lists and powers of a sendable size.
    """

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(
        self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any
    ) -> Any:
        """`left * right` or `left ** right`, unless the result is absurdly long."""
        if _length(operator, left, right) > MAX_PROMPT_CHARACTERS:
            raise SecurityError(f"the result of {operator!r} is too long to be sent")
        return super().call_binop(context, operator, left, right)


def _length(operator: str, left: Any, right: Any) -> int:
    """About how many characters, items or digits the result has; 0 where it cannot be long."""
    if operator == "*":
        many, times = (left, right) if hasattr(left, "__len__") else (right, left)
        return len(many) * times if hasattr(many, "__len__") and isinstance(times, int) else 0
    if isinstance(left, int) and isinstance(right, int):
        return left.bit_length() * right // 3
    return 0


def _environment() -> _Environment:
    return _Environment(undefined=jinja2.StrictUndefined)
