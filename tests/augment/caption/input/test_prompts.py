"""Named prompts, texts, files and templates."""

from __future__ import annotations

from pathlib import Path

import pytest

from mama_augment.caption.input.prompts import NAMED, Prompt, PromptRowError, check_columns, resolve
from mama_augment.caption.input.rendering import render
from mama_augment.core.errors import InputError


def test_a_name_means_its_text_and_is_recorded() -> None:
    prompt = resolve("process")
    assert prompt == Prompt(name="process", text=NAMED["process"])
    assert render(prompt, {}) == "In a sentence, describe the process in the video."


def test_a_text_and_a_file_of_it_are_the_same_prompt(tmp_path: Path) -> None:
    text = "Describe what {{ person }} does."
    path = tmp_path / "prompt.txt"
    path.write_text(text + "\n")
    assert resolve(str(path)) == resolve(text)
    assert resolve(text).name != resolve(text + " Please.").name


def test_a_template_takes_the_clips_columns() -> None:
    prompt = resolve("Title: {{ title }}.{% if texts %} Known: {{ texts[0].text }}.{% endif %}")
    columns = {"title": "Dogs", "texts": [{"text": "a dog runs"}]}
    assert render(prompt, columns) == "Title: Dogs. Known: a dog runs."
    assert render(prompt, {"title": "Dogs", "texts": []}) == "Title: Dogs."
    check_columns(prompt, ["title", "texts"])
    with pytest.raises(InputError, match=r"uses title.*their columns: texts"):
        check_columns(prompt, ["texts"])


@pytest.mark.parametrize(
    "value",
    [
        "proces",
        "",
        "missing.txt",
        "{{ a b }} is broken",
        "{{ title | shout }} has an unknown filter",
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }} is nested",
    ],
)
def test_what_is_no_prompt_is_refused(value: str) -> None:
    with pytest.raises(InputError, match="--prompt"):
        resolve(value)


def test_an_empty_or_binary_file_is_refused(tmp_path: Path) -> None:
    for content in (b" \n", b"\xff\xfe\x00"):
        path = tmp_path / "prompt.txt"
        path.write_bytes(content)
        with pytest.raises(InputError, match="--prompt"):
            resolve(str(path))


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ texts.append(1) }} is code",
        "{% for i in range(10000000) %}x{% endfor %} is long",
        "{{ 1 / number }} is no number",
        "{{ texts[3].text }} is not there",
        "{{ 'a' * 10**14 }} is more than any memory",
        "{{ 10 ** (10 ** 10) }} has more digits than anyone has time for",
        "{{ '%' ~ 10**14 ~ 'd' }} {{ ('%' ~ 10**14 ~ 'd') % 1 }} is more than any memory",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }} never ends",
    ],
)
def test_a_template_runs_no_code_and_its_failure_is_the_rows(template: str) -> None:
    prompt = Prompt(name="t", text=template)
    with pytest.raises(PromptRowError, match="template"):
        render(prompt, {"texts": [], "number": 0})


def test_a_template_that_explodes_is_the_rows_failure() -> None:
    with pytest.raises(PromptRowError, match="characters"):
        render(Prompt(name="t", text="{{ word * 99999 }}{{ word }} {{ word }}"), {"word": "x"})
    assert render(Prompt(name="t", text="{{ 'x' * 3 }}{{ 2 * 3 }}{{ 2 ** 3 }}"), {}) == "xxx68"
