"""Cleaning captions, and the reasons for which they are rejected."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mama_augment.caption.judge.verdict import clean, is_looping, judge
from mama_augment.core.reasons import reasons_of

REASONS = {reason.code for reason in reasons_of("caption") if reason.where == "rows"}


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("The image shows a man cutting wood.", "The video shows a man cutting wood."),
        ("In the images, a dog runs.", "In the video, a dog runs."),
        ("An image of a red car.", "A video of a red car."),
        ("A collage of twelve small images of a woman cooking", "The video of a woman cooking"),
        ("The grid shows a cat jumping.", "The video shows a cat jumping."),
        ("These pictures show a boat.", "The video shows a boat."),
        ("This is a series of photos showing a race.", "This is the video showing a race."),
        ("In the top left panel a man waves.", "In the video a man waves."),
        ('"A man waves."', "A man waves."),
        ("Caption: “A man waves.”", "A man waves."),
        ("a man  waves \n at the sea .</s>", "A man waves at the sea."),
        (
            "The video starts with a series of images, a dog",
            "The video starts with the video, a dog",
        ),
    ],
)
def test_talk_of_pictures_becomes_talk_of_the_video(raw: str, cleaned: str) -> None:
    assert clean(raw) == cleaned


@pytest.mark.parametrize(
    "text",
    [
        "A man hangs a picture on the wall.",
        "A woman takes a photo of a bridge.",
        "A red circle moves left, then grows.",
        "Two people sit in the front row of a cinema.",
        'He says "stop" and leaves.',
    ],
)
def test_content_stays_as_it_is(text: str) -> None:
    assert clean(text) == text


TALK = (
    "the a an image images video of in grid collage pictures show shows panel top left series "
    'this these caption: " and . ,'
)


@example("IMAGE CAPTION:")
@given(st.text(max_size=200) | st.lists(st.sampled_from(TALK.split()), max_size=20).map(" ".join))
def test_cleaning_twice_changes_nothing_more(raw: str) -> None:
    once = clean(raw)
    assert clean(once) == once
    assert once == " ".join(once.split())


@pytest.mark.parametrize(
    ("raw", "finish_reason", "reason"),
    [
        ("A man cuts wood.", "stop", None),
        ("", "stop", "empty"),
        (" ... </s>", "stop", "empty"),
        ("A man \ufffd\ufffd wood", "stop", "garbled"),
        ("A man cuts a long", "length", "truncated"),
        ("I'm sorry, but I cannot see any video.", "stop", "refusal"),
        ("As an AI language model, I do not watch.", "stop", "refusal"),
        ("I cannot determine what happens.", "stop", "refusal"),
        ("a dog and a dog and a dog and a dog and a dog and", "length", "looping"),
        ("In a sentence, describe the process in the video.", "stop", "echo"),
    ],
)
def test_each_fault_has_its_reason(raw: str, finish_reason: str, reason: str | None) -> None:
    verdict = judge(
        raw, prompt="In a sentence, describe the process in the video.", finish_reason=finish_reason
    )
    assert verdict.reason == reason
    assert verdict.status == ("ok" if reason is None else "rejected")
    assert reason is None or reason in REASONS
    assert (verdict.text is None) == (reason == "empty")


@given(
    st.lists(st.sampled_from("abcdefghij"), max_size=15),
    st.lists(st.sampled_from("klmnopqrst"), min_size=1, max_size=12, unique=True),
)
def test_a_phrase_over_and_over_loops_wherever_it_starts(
    head: list[str], phrase: list[str]
) -> None:
    assert is_looping(head + phrase * 6)


@given(st.permutations([f"word{i}" for i in range(60)]), st.integers(0, 60))
def test_a_text_of_different_words_never_loops(words: list[str], length: int) -> None:
    assert not is_looping(words[:length])


@pytest.mark.parametrize(
    "text",
    [
        "a very very tall man walks far far away",
        "first he cuts the wood, then he sands the wood, then he paints the wood",
        "knock knock knock goes the man at the door",
    ],
)
def test_ordinary_repetition_is_no_loop(text: str) -> None:
    assert not is_looping(text.replace(",", "").split())
