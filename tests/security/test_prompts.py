"""Prompt templates of a stranger: no code, and no more than a moment and a little memory."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from mama_augment.caption.input import rendering
from mama_augment.caption.input.prompts import Prompt, PromptRowError, resolve
from mama_augment.caption.input.rendering import Renderer, render
from mama_augment.core.errors import StoppedError
from mama_augment.runtime.isolate import IsolationConfig

GROWS = [
    "{{ 'a'|center(10**9) }}",
    "{{ 'a'.ljust(10**9) }}",
    "{{ '1'.zfill(10**9) }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ 'x' * 10**9 }}",
    "{{ 10 ** (10 ** 8) }}",
    "{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
    "{{ ('a' * 99999)|indent(99999) }}",
    "{{ range(99999)|map('string')|join('x' * 99999) }}",
]
LOOPS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
ESCAPES = [
    "{{ ''.__class__ }}{{ ''.__class__.__mro__ }}",
    "{{ cycler.__init__.__globals__.os.system('touch PWNED') }}",
    "{{ self.__init__.__globals__ }}",
    "{{ ''|attr('__class__') }}",
    "{{ '{0.__class__}'.format('') }}",
    "{{ '{a.__class__}'.format_map({'a': ''}) }}",
    "{{ lipsum.__globals__ }}",
    "{{ (1).__class__.__base__.__subclasses__() }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os }}",
    "{{ texts.append('x') }}",
]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Limits that a test can wait for."""
    limits = IsolationConfig(time_limit_seconds=1.5, memory_limit_mb=200)
    monkeypatch.setattr(rendering, "LIMITS", limits)
    rendering._renderer.cache_clear()
    yield
    rendering._renderer.cache_clear()


@pytest.mark.parametrize("text", GROWS)
def test_a_short_template_fills_no_memory(text: str, quick: None) -> None:
    started = time.monotonic()
    prompt = resolve(f"say {text}")  # nothing is computed here, constants neither
    assert time.monotonic() - started < 1
    renderer = Renderer(prompt)
    try:
        with pytest.raises(PromptRowError):
            renderer({})
        assert render(Prompt(name="t", text="{{ a }}"), {"a": "fine"}) == "fine"
    finally:
        renderer.close()


def test_a_template_that_never_ends_costs_its_clip_and_then_the_run(quick: None) -> None:
    renderer = Renderer(resolve("{% if text == 'bad' %}" + LOOPS + "{% endif %}{{ text }}"))
    try:
        for _ in range(2):
            for _ in range(rendering.MOST_OVER - 1):
                with pytest.raises(PromptRowError, match="killed after"):
                    renderer({"text": "bad"})
            assert renderer({"text": "good"}) == "good"  # it was the clip
        for _ in range(rendering.MOST_OVER - 1):
            with pytest.raises(PromptRowError):
                renderer({"text": "bad"})
        with pytest.raises(StoppedError, match="mend the template"):
            renderer({"text": "bad"})
    finally:
        renderer.close()


@pytest.mark.parametrize("text", ESCAPES)
def test_no_template_gets_out(text: str, quick: None) -> None:
    try:
        made = render(Prompt(name="t", text=text), {"texts": ["a"]})
    except PromptRowError:
        return
    assert not any(word in made for word in ("class", "module", "root:", "built-in", "{'")), made


def test_texts_of_clips_are_never_templates(quick: None) -> None:
    hostile = "{{ 7 * 7 }}{% for i in range(9) %}x{% endfor %}"
    assert render(Prompt(name="t", text="say {{ text }}"), {"text": hostile}) == f"say {hostile}"
