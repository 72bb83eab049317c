"""What a model said -> a caption, or why not; pure, and linear in the length of the text.

Wrapping is taken off only where it is certain; a text that is doubtful afterwards is rejected by
name or flagged, never rewritten into what was not said. Each family of rules is one module of this
folder and has its place in `PEELING` (repeated until nothing more comes off) or `SIFTING`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mama_augment.caption.judge.config import JudgeConfig
from mama_augment.caption.judge.ending import find_length, keep_sentences
from mama_augment.caption.judge.language import find_language
from mama_augment.caption.judge.loops import find_loop
from mama_augment.caption.judge.pictures import drop_picture, find_grid_talk, to_time_words
from mama_augment.caption.judge.reasoning import drop_thoughts
from mama_augment.caption.judge.refusals import drop_question, find_refusal
from mama_augment.caption.judge.said import Asked, Found, Rule, one_line
from mama_augment.caption.judge.tokens import drop_tokens, find_garbled
from mama_augment.caption.judge.wrapping import find_wrapper, unwrap
from mama_augment.core.reasons import reason_of

MOST_PASSES = 8
"""A label may lay bare a quotation, and that another label; what is wrapped deeper is a
`wrapper`."""


def _flatten(text: str, asked: Asked) -> Found:
    """One line, with a capital letter."""
    text = one_line(text)
    return Found(text[:1].upper() + text[1:])


PEELING: tuple[Rule, ...] = (drop_thoughts, drop_tokens, unwrap, drop_question)
SIFTING: tuple[Rule, ...] = (
    find_loop,
    find_refusal,
    find_language,
    find_wrapper,
    keep_sentences,
    drop_picture,
    to_time_words,
    find_grid_talk,
    find_length,
)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A caption and why it is rejected; `reason` is None for an accepted one.

    flags: what was done or is to be known: `order_words`, `truncated`, `repeat_dropped`,
    `cut_at_turn`, `picture_talk`.
    """

    text: str | None
    reason: str | None
    flags: Sequence[str] = field(default=())

    def __post_init__(self) -> None:
        assert self.reason is None or reason_of("caption", self.reason).where == "rows"

    @property
    def status(self) -> str:
        return "ok" if self.reason is None else "rejected"


def judge(
    raw_text: str,
    *,
    prompt: str = "",
    input: str = "grid",
    finish_reason: str = "stop",
    config: JudgeConfig | None = None,
) -> Verdict:
    """A caption of a raw text; an accepted one that is judged again is accepted as it is.

    The text of a rejected one is what it was when a rule refused it, None for `empty`.
    """
    config = config if config is not None else JudgeConfig()
    asked = Asked(prompt=prompt, input=input, finish_reason=finish_reason, config=config)
    found = find_garbled(raw_text, asked)
    if found.reason is not None:
        return Verdict(text=_storable(raw_text), reason=found.reason)
    found = _peeled(raw_text, asked)
    if found.reason is None and not any(c.isalpha() for c in found.text):
        return Verdict(text=None, reason="empty")
    for _ in range(MOST_PASSES):
        before = found
        for rule in (_flatten, *SIFTING, _flatten):
            if found.reason is None:
                found = _after(found, rule, asked)
        if found.reason is not None or found.text == before.text:
            break
        # What was taken off the start may lay more bare.
        found = _and(found, _peeled(found.text, asked))
    else:
        found = Found(found.text, "wrapper", found.flags)
    return Verdict(text=one_line(found.text), reason=found.reason, flags=found.flags)


def _peeled(text: str, asked: Asked) -> Found:
    """Without what stands around the caption."""
    found = Found(text)
    for _ in range(MOST_PASSES):
        before = found.text
        for rule in PEELING:
            found = _after(found, rule, asked)
            if found.reason is not None:
                return found
        if found.text == before:
            return found
    return Found(found.text, "wrapper", found.flags)


def _after(found: Found, rule: Rule, asked: Asked) -> Found:
    return _and(found, rule(found.text, asked))


def _and(found: Found, then: Found) -> Found:
    """The later text and reason, the flags of both."""
    return Found(then.text, then.reason, tuple(dict.fromkeys((*found.flags, *then.flags))))


def _storable(text: str) -> str:
    return one_line(text.encode("utf-8", "replace").decode())
