"""Chat, markdown and JSON around one caption; what holds several answers is left to the rejects."""

from __future__ import annotations

import json
import re

from mama_augment.caption.judge.said import Asked, Found, words_of

FIELDS = ("caption", "description", "text", "answer", "summary", "video_caption", "sentence")
_KIND = (
    r"(?:(?:video|image|short|brief|concise|detailed|possible|suitable|final|one-sentence|single|"
    r"descriptive|simple)[\s-]+){0,3}"
    r"(?:captions?|descriptions?|answer|output|response|summary|sentence)"
)
_COURTESY = r"(?:sure(?: thing)?|certainly|of course|absolutely|okay|ok|great|yes|alright|got it)"
_OPENER = re.compile(
    rf"^(?:{_COURTESY}[,!.]\s+)?(?:based on [^:.\n]{{1,60}},\s*)?"
    rf"(?:here(?:['’]s| is)|below is|this is|the {_KIND} (?:for|of) (?:the|this) "
    rf"(?:video|image|clip) (?:is|would be))"
    rf"(?:\s+(?:a|an|the|my|your))?(?:\s+{_KIND}[^:.\n\"]{{0,60}})?:\s*",
    re.IGNORECASE,
)
_COURTEOUS = re.compile(rf"^{_COURTESY}!\s+", re.IGNORECASE)
_LABEL = re.compile(
    rf"^(?:[#>*_\s]{{0,8}}{_KIND}\s{{0,4}}[*_]{{0,3}}\s?:\s?[*_]{{0,3}}\s{{0,4}})+", re.I
)
_HEADING = re.compile(rf"^#{{1,6}} *(?:{_KIND}) *:? *\n+", re.IGNORECASE)
_CLOSER = re.compile(
    r"^(?:let me know|i hope this|hope this|feel free to|would you like (?:me|more)|"
    r"do you want me to|if you(?:['’]d like| need| have| want) [^.]*\b"
    r"(?:let me know|feel free|ask)|"
    r"is there anything else)\b",
    re.IGNORECASE,
)
_LAST = re.compile(r"(?<=[.!?\"”]) +(?=[A-Z])|\n+")
_FENCE = re.compile(r"^```[a-zA-Z]{0,10}[ \t]*\n(.*?)\n?```$", re.DOTALL)
_STRONG = re.compile(r"(\*\*|__)(?=[^\s*_])([^*_\n]{1,2000}?)\1")
_EMPHASIS = re.compile(r"(?<![\w*])\*(?=[^\s*])([^*\n]{1,400}?)(?<=[^\s*])\*(?![\w*])")
_BULLET = re.compile(r"^(?:[-*•>]|\d{1,2}[.)])[ \t]+")
_QUOTES = ('""', "''", "“”", "‘’", "``", "«»")
_CODE = re.compile(r"^```(?:json|text|txt|markdown|md|plaintext)?[ \t]*\n", re.IGNORECASE)


def unwrap(text: str, asked: Asked) -> Found:
    """Take off what is certain to stand around the caption."""
    text = text.strip()
    if (fence := _FENCE.match(text)) and _CODE.match(text) and "```" not in fence[1]:
        text = fence[1].strip()
    if text[:1] == "{" and text[-1:] == "}":
        text = _one_field(text)
    text = _HEADING.sub("", text)
    text = _LABEL.sub("", text, count=1)
    text = _OPENER.sub("", text, count=1)
    text = _COURTEOUS.sub("", text, count=1)
    text = _without_closer(text.strip())
    text = _EMPHASIS.sub(r"\1", _STRONG.sub(r"\2", text))
    return Found(_unquoted(_unlisted(text)))


def _one_field(text: str) -> str:
    """The caption of a JSON object that holds nothing else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, dict) and len(value) == 1:
        ((name, inner),) = value.items()
        if name.lower() in FIELDS and isinstance(inner, str):
            return inner.strip()
    return text


def _without_closer(text: str) -> str:
    """Without a last sentence that speaks to the user."""
    tail = text[-300:]
    starts = [match.end() for match in _LAST.finditer(tail)]
    if starts and _CLOSER.match(tail[starts[-1] :]):
        return text[: len(text) - len(tail) + starts[-1]].strip()
    return text


def _unlisted(text: str) -> str:
    """Items of a list, one a line, as sentences; one item alone without its mark."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if not lines or not all(_BULLET.match(line) for line in lines):
        return text
    if len(lines) == 1 and " - " in text:
        return text  # a list in one line; where its items end is not certain
    items = [_BULLET.sub("", line, count=1) for line in lines]
    if len(items) > 1:
        items = [item if item[-1:] in ".!?。" else f"{item}." for item in items]
    return " ".join(items)


def _unquoted(text: str) -> str:
    """Without quotation marks around the whole, however many."""
    start, end = 0, len(text)
    while end - start > 1:
        pair = text[start] + text[end - 1]
        if pair not in _QUOTES or (pair[0] == pair[1] and text.count(pair[0], start, end) != 2):
            break
        start, end = start + 1, end - 1
    return text[start:end].strip()


_SEVERAL = re.compile(
    r"\b(?:caption|option|description|version|choice)\s?(?:\d|[A-D])\b\s?:|"
    r"\b(?:title|tags|keywords|hashtags|note|confidence)\s?:\s|"
    r"\bhere are\b[^.]{0,60}\b(?:captions?|options?|descriptions?|versions?|sentences)\b|"
    r"\b(?:i can offer|as requested|let me know if|i hope this helps|feel free to)\b",
    re.IGNORECASE,
)
_FOREIGN = re.compile(
    r"https?://|\bwww\.|```|</?(?:div|p|br|span|html|body|li|ul|table"
    r"|h[1-6])\s?/?>(?=.*</)|\|\s?-{3}|"
    r"^[{\[]\s?[\"{\[]|\s#\w+ #\w+|^\|.*\|$"
)
_INLINE_LIST = re.compile(r"(?:^|[.!?:] )(?:1[.)] .{1,2000}?\b2[.)] )|^[-•] .* - ")


def find_wrapper(text: str, asked: Asked) -> Found:
    """`wrapper`: code, markup, links, several answers, or talk to the user is left."""
    is_wrapped = (
        _SEVERAL.search(text)
        or _FOREIGN.search(text)
        or _INLINE_LIST.search(text[:4000])
        or not words_of(text)
    )
    return Found(text, "wrapper" if is_wrapped else None)
