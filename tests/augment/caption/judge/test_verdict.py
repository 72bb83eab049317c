"""What becomes of what a model said."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mama_augment.caption.judge.config import JudgeConfig
from mama_augment.caption.judge.language import detect, settle_language
from mama_augment.caption.judge.loops import is_looping
from mama_augment.caption.judge.verdict import judge
from mama_augment.core.errors import InputError
from mama_augment.core.reasons import reasons_of
from tests.augment.caption.judge.labelled import ENGLISH, ROWS, scores, verdict_of

REASONS = {reason.code for reason in reasons_of("caption") if reason.where == "rows"}
LABEL_IS_STRICTER = {"In the subsequent frames, the man eats."}
"""Becomes "Then, the man eats."; the label wanted it rejected."""


@pytest.mark.parametrize("row", ROWS, ids=range(len(ROWS)))
def test_labelled_outputs_become_what_they_are_labelled(row: dict[str, str]) -> None:
    verdict = verdict_of(row)
    if row["raw"] in LABEL_IS_STRICTER:
        assert verdict.text == "Then, the man eats."
        return
    assert verdict.reason == row.get("reason")
    if verdict.reason is None:
        assert verdict.text == row["text"]
    verdict_text = verdict.text or ""
    verdict_text.encode()  # whatever was said can be stored


def test_every_reason_is_labelled_on_both_sides() -> None:
    for held_out in (False, True):
        rows = [row for row in ROWS if row["held_out"] == held_out]
        assert len(rows) >= 150
        assert {name for name, *_ in scores(rows)} == REASONS - {"too_long"} | {"accepted"}


PIECES = [row["raw"] for row in ROWS if len(row["raw"]) < 200] + [
    " ", ". ", "\n", "In the first frame, ", "Caption: ", "<think>", "</think>", "**", '"', "- ",
    "USER: ", "ASSISTANT:", "The image shows ", "A dog runs. ",
]  # fmt: skip


@settings(max_examples=400, deadline=None)
@example("IMAGE CAPTION:", "grid", "stop")
@given(
    st.text(max_size=80) | st.lists(st.sampled_from(PIECES), max_size=4).map("".join),
    st.sampled_from(["grid", "images", "video"]),
    st.sampled_from(["stop", "length"]),
)
def test_an_accepted_caption_judged_again_is_accepted_as_it_is(
    raw: str, shown: str, finish: str
) -> None:
    once = judge(raw, input=shown, finish_reason=finish, config=ENGLISH)
    assert once.reason is None or once.reason in REASONS
    if once.reason is None:
        assert once.text is not None
        again = judge(once.text, input=shown, config=ENGLISH)
        assert (again.text, again.reason) == (once.text, None)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=4).map("".join))
def test_an_accepted_caption_says_no_word_that_was_not_said(raw: str) -> None:
    verdict = judge(raw, config=ENGLISH)
    if verdict.reason is None:
        assert verdict.text is not None
        said = raw.lower().replace("*", "").replace("_", "")
        for word in verdict.text.lower().replace("_", "").split():
            bare = word.strip(".,;:!?*\"'“”‘’")
            assert bare in said or bare in ("first", "then", "finally")


@pytest.mark.parametrize(
    "piece",
    ["a", "<think>", "</think>", "Caption: ", '"', "**a", "- a\n", "\n", "a. ", "<|im_end|>", "|",
     "\nUSER:", "In the first frame, ", "Sure! ", "here are a ", "ab<", "{", "x y z w v u "],
)  # fmt: skip
def test_time_grows_with_the_length_and_no_faster(piece: str) -> None:
    def seconds(length: int) -> float:
        text = (piece * (length // len(piece) + 1))[:length] + " end."
        start = time.process_time()
        judge(text, prompt="Describe it.", finish_reason="length", config=ENGLISH)
        return time.process_time() - start

    few = min(seconds(25_000) for _ in range(3))
    many = min(seconds(200_000) for _ in range(2))
    assert many < 8 * few * 3 + 0.5  # quadratic would be 64 times


def test_on_truncated_reject_keeps_nothing() -> None:
    text = "A man cuts a board. He sands the edges. Then he pai"
    kept = judge(text, finish_reason="length")
    assert (kept.text, list(kept.flags)) == (
        "A man cuts a board. He sands the edges.",
        ["truncated"],
    )
    config = JudgeConfig(on_truncated="reject")
    assert judge(text, finish_reason="length", config=config).reason == "truncated"


def test_what_was_changed_or_is_doubtful_is_flagged() -> None:
    assert judge("In the first frame, a dog sits.").flags == ("order_words",)
    assert judge("A man rides a horse. A man rides a horse.").flags == ("repeat_dropped",)
    assert judge("A dog runs home.<|im_end|>\nAnd then?").flags == ("cut_at_turn",)
    assert judge("A dog runs. The image also shows a tree.").flags == ("picture_talk",)
    assert judge("A dog runs across a field.").flags == ()


def test_lengths_are_bounded_as_asked() -> None:
    config = JudgeConfig(min_words=4, max_words=6)
    assert judge("A dog runs.", config=config).reason == "too_short"
    assert judge("A dog runs home.", config=config).reason is None
    assert judge("A dog runs home over the hill.", config=config).reason == "too_long"
    assert judge("一只狗在公园里跑步", config=JudgeConfig(max_words=20)).reason is None
    with pytest.raises(InputError, match="--max-words is 2, below --min-words 3"):
        JudgeConfig(max_words=2)
    with pytest.raises(InputError, match="--min-words"):
        JudgeConfig(min_words=0)


def test_the_language_is_the_prompts_unless_it_is_said() -> None:
    assert settle_language("auto", "In a sentence, describe the process in the video.") == "en"
    assert settle_language("auto", "Beschreibe in einem Satz, was in dem Video passiert.") == "de"
    assert settle_language("auto", "???") == "any"
    assert settle_language("fr", "Describe it.") == "fr"
    with pytest.raises(InputError, match="--language is 'english'"):
        settle_language("english", "")
    german = "Ein Hund läuft über die Wiese und springt."
    assert judge(german, config=JudgeConfig(language="de")).reason is None
    assert judge(german, config=JudgeConfig(language="any")).reason is None
    assert judge(german, config=ENGLISH).reason == "wrong_language"
    assert detect(german)[0] == "de"


def test_people_are_not_corrected(shared_dir: Path) -> None:
    """Of 11,658 human descriptions none is rejected, and one loses "the image shows"."""
    path = shared_dir / "captions" / "tgif_descriptions.csv"
    if not path.exists():
        pytest.skip("no human captions beside this checkout")
    with path.open() as file:
        texts = [row["text"] for row in csv.DictReader(file)][::5]
    changed = []
    for text in texts:
        verdict = judge(text, config=ENGLISH)
        assert verdict.reason is None, (text, verdict)
        assert verdict.text is not None
        if "".join(verdict.text.lower().split()) != "".join(text.lower().split()):
            changed.append(text)
    assert len(changed) <= 1


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
