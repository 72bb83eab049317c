"""Talk of the picture that a model was shown instead of what it shows.

Only the beginning of a sentence is ever changed, and only where it is certain that the words mean
the picture: "a framed image of his family" is what happens in the video.
"""

from __future__ import annotations

import re
from functools import partial

from mama_augment.caption.judge.said import Asked, Found

_PICTURE = r"(?:image|picture|photo|photograph|screenshot)s?"
_TILE = r"(?:image|picture|photo|photograph|screenshot|frame|panel|still|cell)s?"
_TILING = r"(?:grid|collage|montage|mosaic|series|sequence|set|compilation|storyboard|collection)"
_SHOWS = r"(?:shows?|depicts?|captures?|displays?|features?|illustrates?|contains?|presents?)"
_SHOWING = r"(?:showing|depicting|of|capturing|displaying|illustrating|that shows?|that depicts?)"
_NUMBER = r"(?:\d{1,2}|two|three|four|five|six|seven|eight|nine|ten|twelve|fifteen|sixteen)"
_NOUN_PHRASE = rf"(?=(?:an?|the|some|several|many|people|someone|{_NUMBER}|another|various)\b)"
_GRID_WRAPPER = re.compile(
    rf"^(?:the|this) {_PICTURE} (?:is|are|{_SHOWS}) an? (?:\d{{1,2}} ?[x×]"
    rf" ?\d{{1,2}} )?{_TILING} of "
    rf"(?:{_NUMBER} )?(?:[a-z]+ )?{_TILE} {_SHOWING} {_NOUN_PHRASE}",
    re.IGNORECASE,
)
_PICTURE_WRAPPER = re.compile(
    rf"^(?:(?:the|this|these) {_PICTURE} {_SHOWS} {_NOUN_PHRASE}|in (?:the"
    rf"|this|these) {_PICTURE}, )",
    re.IGNORECASE,
)
_STARTS = r"(^|[.!?;] )"
_FEW = r"(?:few |couple of |two |three )?"
_ORDER = tuple(
    (re.compile(rf"{_STARTS}in the {words} {_FEW}{_TILE}, ", re.IGNORECASE), time)
    for words, time in (
        (r"(?:very )?(?:first|initial)", "First, "),
        (
            r"(?:second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth"
            r"|eleventh|next|following|"
            r"subsequent|later)",
            "Then, ",
        ),
        (r"(?:very )?(?:last|final)", "Finally, "),
    )
)


def drop_picture(text: str, asked: Asked) -> Found:
    """ "The image shows a grid of 12 frames depicting a man" -> "A man"; at the start only."""
    pattern = _GRID_WRAPPER if asked.input == "grid" else _NEVER
    for wrapper in (pattern, _PICTURE_WRAPPER):
        found = wrapper.match(text)
        if found is not None and not _is_tiling(text[found.end() :]):
            rest = text[found.end() :]
            return Found(rest[:1].upper() + rest[1:])
    return Found(text)


def to_time_words(text: str, asked: Asked) -> Found:
    """ "In the first frame, …" -> "First, …" where a sentence starts, of a grid only; flagged."""
    if asked.input != "grid":
        return Found(text)
    before = text
    for pattern, time in _ORDER:
        text = pattern.sub(partial(_timed, time), text)
    return Found(text, None, ("order_words",) if text != before else ())


def _timed(time: str, found: re.Match[str]) -> str:
    start = found[1]
    return start + (time.lower() if start.startswith(";") else time)


_NEVER = re.compile(r"(?!)")
_TILING_START = re.compile(
    rf"^(?:an?|the|this) (?:[a-z0-9×]+ ){{0,2}}{_TILING} of (?:[a-z0-9]+ ){{0,2}}{_TILE}\b", re.I
)


def _is_tiling(text: str) -> bool:
    return _TILING_START.match(text) is not None


_ORDINAL = (
    r"(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth|last|"
    r"final|next|previous|following|subsequent|initial|later|earlier|remaining|middle)"
)
_SIDE = r"left|right|center|middle"
_PLACE = rf"(?:top|upper|bottom|lower|central|{_SIDE})(?:[ -](?:{_SIDE}))?"
_IN = r"(?:in|across|throughout|over|from|by|until|between|through|at|to|with)"
_TALK = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\b(?:frames?|panels?|images?|pictures?|cells?) (?:number |no\."
        r" ?)?#?\d{1,2}\b(?! of the game)",
        rf"\b{_IN} (?:the|each|every|all|this|these)(?: of the)? (?:{_ORDINAL} "
        rf"|{_NUMBER} ){{1,3}}{_TILE}\b"
        r"(?! of (?:the|a|an|his|her|their) )",
        r"\b(?:in|across|throughout|over|through) (?:the|each|every|all|these)"
        r"(?: the)? (?:frames|panels)\b",
        r"\b(?:in|across|throughout) (?:each|every|all)(?: of)?(?: the)? "
        r"(?:frame|panel|image|picture)s?\b",
        rf"\bfrom the {_ORDINAL}(?: {_TILE})? to the {_ORDINAL} {_TILE}\b",
        rf"\bin the {_PLACE} {_TILE}\b",
        rf"\b(?:the|each|every) {_ORDINAL} (?:frame|image) {_SHOWS}\b",
        r"\b(?:row|column)s? of (?:the )?(?:images|frames|panels|pictures|the "
        r"(?:grid|collage|image))\b",
        r"\b(?:starting|beginning) (?:from|in|at|with) the (?:top|upper)[ -]left\b",
        r"\b(?:grid|storyboard) of (?:\w+ ){0,2}(?:images|frames|pictures|panels|photos|stills)\b",
        r"\b(?:left to right|top to bottom)\b.{0,40}\bin the (?:grid|collage)\b",
        r"\b(?:series|sequence|set) of frames\b",
        r"\bas the (?:frames|panels|images) (?:progress|go|advance|continue)",
    )
)
_TALK_AT_START = tuple(
    re.compile(rf"(?:^|[.!?] ){pattern}", re.IGNORECASE)
    for pattern in (
        rf"(?:the|each|every) (?:{_PLACE}|{_ORDINAL}) (?:row|column|panel|frame"
        rf"|image|picture) {_SHOWS}\b",
        rf"(?:the|these|each|every|all)(?: the)? (?:{_NUMBER} |small |individual ){{0,2}}"
        rf"(?:panels?|frames) {_SHOWS}\b",
        rf"(?:the|these) {_NUMBER} (?:small |individual )?{_TILE} {_SHOWS}\b",
        rf"(?:the|this) (?:grid|collage|montage|mosaic|storyboard)(?: of \w+)? {_SHOWS}\b",
        r"(?:across|throughout|over) (?:the|these) (?:images|pictures|photos)\b",
        r"in (?:the|this) (?:grid|collage|montage|mosaic|storyboard)\b",
        rf"in the {_PLACE} (?:row|column),",
        r"(?:the|these) (?:images|frames|panels) (?:progress|continue|then)\b",
    )
)
_TILING_AT_START = re.compile(
    rf"^(?:(?:the|this) (?:{_PICTURE}|video) (?:is|{_SHOWS}) )?(?:an?|the"
    rf"|this) (?:[a-z0-9×]+ ){{0,2}}"
    rf"{_TILING} of (?:[a-z0-9]+ ){{0,2}}{_TILE}\b",
    re.IGNORECASE,
)
_STILL_PICTURE = re.compile(
    rf"(?:^|[.!?] )(?:the|this|these) {_PICTURE} (?:also )?{_SHOWS}\b", re.I
)


def find_grid_talk(text: str, asked: Asked) -> Found:
    """`grid_talk`: frames, panels, rows or the grid are spoken of; pictures only are flagged."""
    patterns = _TALK + _TALK_AT_START + ((_TILING_AT_START,) if asked.input != "video" else ())
    if any(pattern.search(text) for pattern in patterns):
        return Found(text, "grid_talk")
    return Found(text, None, ("picture_talk",) if _STILL_PICTURE.search(text) else ())
