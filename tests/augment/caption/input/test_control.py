"""Text that models read as control is made ordinary text, and other text is left alone."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mama_augment.caption.input.control import neutralised
from mama_augment.caption.input.prompts import resolve
from mama_augment.core.errors import InputError

COMMON = [
    "<image>", "</s>", "<|im_start|>", "<|vision_start|>", "[INST]", "[/INST]", "[IMG]", "<think>",
    "<start_of_image>", "<end_of_turn>", "<IMG_CONTEXT>", "<row_1_col_2>",
    "<fake_token_around_image>",
    "◁think▷", "<|image|>", "<｜begin▁of▁sentence｜>",
]  # fmt: skip


@pytest.mark.parametrize("token", COMMON)
def test_a_token_is_taken_apart_and_still_reads_the_same(token: str) -> None:
    said = neutralised(f"a {token} b")
    assert token not in said
    assert said == f"a {token[0]} {token[1:]} b"
    assert neutralised(said) == said


@pytest.mark.parametrize(
    "text",
    [
        "A man opens a door (twice), 3 < 4 and 5 > 2.",
        "I <3 this video | really",
        "[music] [applause] <b>bold</b>",
        "an image, a video",
        "日本語のキャプション",
    ],
)
def test_other_text_is_left_alone(text: str) -> None:
    assert neutralised(text, {"<image>", "[IMG]"}) == text


@settings(deadline=None)
@given(st.lists(st.sampled_from(["<", ">", "image", "|", "im_end", "[", "]", "INST", "/", " "])))
def test_nothing_is_left_however_it_is_put_together(pieces: list[str]) -> None:
    tokens = {"<image>", "<|im_end|>", "[INST]"}
    said = neutralised("".join(pieces), tokens)
    assert not any(token in said for token in tokens)
    assert re.sub(r"\s", "", said) == re.sub(r"\s", "", "".join(pieces))


def test_a_models_own_tokens_count_too() -> None:
    assert neutralised("say @@PIC@@ now", {"@@PIC@@"}) == "say @ @PIC@@ now"


@pytest.mark.parametrize("token", ["<image>", "<|im_end|>", "[INST]"])
def test_a_prompt_of_the_command_line_that_holds_one_is_refused(token: str) -> None:
    with pytest.raises(InputError, match=re.escape(token)):
        resolve(f"Describe {token} in one sentence.")
