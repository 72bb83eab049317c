"""Clean what a model said about a grid, and accept or reject it with a reason; pure.

A model that is shown a grid of key frames talks of images, collages and panels; a caption is to
talk of the video. The paper's demo replaces the word "image"; here the phrases around it too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mama_augment.core.reasons import reason_of

_PICTURES = (
    r"(?:images?|pictures?|photos?|photographs?|frames?|panels?|screenshots?|stills?|snapshots?)"
)
_GROUPS = (
    r"(?:series|sequence|set|collection|collage|grid|montage|mosaic|group|row|strip|compilation)"
)
_TILINGS = r"(?:grid|collage|montage|mosaic)"
_SHOWS = r"(?:shows?|depicts?|captures?|features?|displays?|illustrates?|contains?)"
_UP_TO_TWO_WORDS = r"(?:(?!(?:is|are|was|shows?)\b)[a-z0-9-]+\s+){0,2}?"
_PLACES = (
    r"(?:(?:top|upper|bottom|lower|middle|cent(?:er|re|ral)|left|right|first|second|third|last|"
    r"final|next)(?:-|\s+))+"
)

_REWRITES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        # "a collage of twelve small images" is the video, whatever the number.
        (
            rf"\b(?:(?:an?|the|this|these)\s+{_UP_TO_TWO_WORDS})?{_GROUPS}\s+of\s+"
            rf"{_UP_TO_TWO_WORDS}{_PICTURES}\b",
            "the video",
        ),
        # A place in the grid is a moment of the video.
        (rf"\bin\s+the\s+{_PLACES}(?:{_PICTURES}|{_TILINGS})\b", "in the video"),
        (rf"\bthe\s+{_PLACES}{_PICTURES}\b", "the video"),
        (
            r"\b(?:from\s+)?left\s+to\s+right,?\s*(?:and\s+)?(?:from\s+)?top\s+to\s+bottom\b,?\s*",
            "",
        ),
        # Pictures talked about as such; "a picture on the wall" is content and stays.
        (
            rf"\b(?:the|this|these|all|each|every|both)\s+(?:\w+\s+)?{_PICTURES}\s+{_SHOWS}\b",
            "the video shows",
        ),
        (
            rf"\b(in|throughout|across|of|from)\s+(?:the|this|these|each|every|all(?:\s+the)?)\s+"
            rf"{_PICTURES}\b",
            r"\1 the video",
        ),
        (rf"\b(?:this|these)\s+{_PICTURES}\b", "the video"),
        (rf"\b(?:the|this|a)\s+{_TILINGS}\s+{_SHOWS}\b", "the video shows"),
        (rf"\bin\s+(?:the|this)\s+{_TILINGS}\b", "in the video"),
        # What is left, as in the paper's demo.
        (r"\ban\s+images?\b", "a video"),
        (r"\bimages?\b", "video"),
        # Several rewrites of one phrase leave doubles behind.
        (r"\b(?:(?:the|a)\s+)?video\s+of\s+(?=the\s+video\b)", ""),
        (r"\bvideo(?:\s+video)+\b", "video"),
        (r"\bthe\s+(?=the\s+)", ""),
    )
)
_MARKUP = re.compile(r"<\|?/?[a-zA-Z_][a-zA-Z0-9_ ]*\|?>|\[/?INST\]")
_LABEL = re.compile(r"^(?:video\s+)?(?:caption|description|answer|assistant)\s*:\s*", re.IGNORECASE)
_REFUSAL = re.compile(
    r"^(?:i\s*['’]?\s*a?m\s+(?:very\s+)?sorry|sorry,|as\s+an?\s+(?:ai|language)\b|"
    r"i\s+(?:can\s*not|can['’]t|am\s+(?:not\s+able|unable)|do\s+not\s+have|don['’]t\s+have)\b|"
    r"i['’]m\s+(?:not\s+able|unable)|unfortunately,?\s+i\b|"
    r"it\s+is\s+not\s+possible\s+(?:for\s+me\s+)?to\b)",
    re.IGNORECASE,
)
MOST_PASSES = 8
"""A rewrite may lay bare what another pass takes away: "Image caption:" is a label only once it
talks of the video."""
_WORD = re.compile(r"\w+(?:['’-]\w+)*")
_QUOTES = ('""', "''", "“”", "‘’", "``")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A cleaned caption and why it is rejected; `reason` is None for an accepted one."""

    text: str | None
    reason: str | None

    def __post_init__(self) -> None:
        assert self.reason is None or reason_of("caption", self.reason).where == "rows"

    @property
    def status(self) -> str:
        return "ok" if self.reason is None else "rejected"


def judge(raw_text: str, *, prompt: str = "", finish_reason: str = "stop") -> Verdict:
    """Clean a caption, then accept or reject it.

    Reasons, first match: `empty` (no letters), `garbled` (bytes that are not text), `echo` (the
    prompt itself), `refusal`, `looping` (a phrase over and over), `truncated` (max_tokens ended
    it).
    """
    text = clean(raw_text)
    words = _WORD.findall(text.lower())
    if not any(c.isalpha() for c in text):
        return Verdict(text=None, reason="empty")
    reason = None
    if "\ufffd" in text:
        reason = "garbled"
    elif prompt and words == _WORD.findall(clean(prompt).lower()):
        reason = "echo"
    elif _REFUSAL.match(text):
        reason = "refusal"
    elif is_looping(words):
        reason = "looping"
    elif finish_reason == "length":
        reason = "truncated"
    return Verdict(text=text, reason=reason)


def clean(raw_text: str) -> str:
    """One line of plain text that talks of the video; idempotent."""
    text = raw_text
    for _ in range(MOST_PASSES):
        before, text = text, _cleaned_once(text)
        if text == before:
            break
    return text


def _cleaned_once(raw_text: str) -> str:
    text = _MARKUP.sub(" ", raw_text)
    text = " ".join(text.split())
    text = _unwrap(text)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    text = re.sub(r"\s+([,.;:!?])", r"\1", " ".join(text.split()))
    return text[:1].upper() + text[1:]


def _unwrap(text: str) -> str:
    """Drop labels ("Caption:") and quotation marks around the whole."""
    while True:
        before = text
        text = _LABEL.sub("", text).strip()
        for left, right in (tuple(pair) for pair in _QUOTES):
            inner = text[1:-1]
            if len(text) > 1 and text[0] == left and text[-1] == right and left not in inner:
                text = inner.strip()
        if text == before:
            return text


def is_looping(words: list[str]) -> bool:
    """Whether a phrase is repeated back to back, or few phrases make up a long text.

    A phrase of n words counts as a loop when it stands 6 times in a row for n = 1, 4 times for
    n = 2 and 3 times for 3 to 12 words ("very, very far" is none); and so does a text of 24 words
    or more in which fewer than half of the three-word phrases are new.
    """
    for size in range(1, 13):
        needed = {1: 6, 2: 4}.get(size, 3)
        matches = 0  # words in a row that equal the word `size` places before
        for index in range(size, len(words)):
            matches = matches + 1 if words[index] == words[index - size] else 0
            if matches >= size * (needed - 1):
                return True
    phrases = [tuple(words[i : i + 3]) for i in range(len(words) - 2)]
    return len(words) >= 24 and len(set(phrases)) < 0.5 * len(phrases)
