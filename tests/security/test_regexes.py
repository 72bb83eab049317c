"""Texts made to keep a regular expression busy: time grows with their length, and no faster."""

from __future__ import annotations

import time

import pytest

from mama_augment.balance.repeats import text_key
from mama_augment.caption.input.control import neutralised
from mama_augment.caption.judge.verdict import judge
from mama_augment.concepts.language.words import words

ATTACKS = [
    *("caption: ", "Sure! Here is a caption: ", '"', "**", "```\n", "<think>", "</think>", "- "),
    *("<think></think>", "1. ", "assistant: ", "In the first frame, ", '{"caption": ', "(((", "."),
    *("The image shows a grid of ", " \n", "<|", "<|im_end|>", "a", "ab ", "I'm sorry, ", "? "),
    *("[IMG] ", "\ufdfa", "a-", "’", "0", "\u0301", "Finally, ", "the the "),
]
SECONDS_PER_MILLION = 20.0
"""Of processor time, for all that looks at a text; what was quadratic took half a minute for a
tenth of it."""


def seconds(text: str) -> float:
    started = time.process_time()
    judge(text)
    neutralised(text)
    words(text)
    text_key(text)
    return time.process_time() - started


@pytest.mark.parametrize("end", ["", " a dog runs."])
@pytest.mark.parametrize("attack", ATTACKS)
def test_time_grows_with_the_length(attack: str, end: str) -> None:
    most = 50_000
    assert seconds(attack * (most // len(attack)) + end) < SECONDS_PER_MILLION * most / 10**6 + 0.2


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_million_characters(attack: str) -> None:
    assert seconds(attack * (10**6 // len(attack))) < SECONDS_PER_MILLION
