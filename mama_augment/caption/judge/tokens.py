"""Control tokens, role words and turns of a chat that a server left in the text."""

from __future__ import annotations

import re
import unicodedata

from mama_augment.caption.judge.said import Asked, Found

_HEADER = re.compile(
    r"<\|im_start\|>\s*assistant\b|<\|start_header_id\|>\s*assistant\s*<\|end_header_id\|>|"
    r"<start_of_turn>\s*model\b|<\|assistant\|>|\[/INST\]",
    re.IGNORECASE,
)
_ENDS = re.compile(
    r"</s>|<eos>|<end_of_turn>|<\|(?:im_end|endoftext|eot_id|end|end_of_text|eom_id|return)\|>"
)
_OTHER = re.compile(
    r"<(?:s|bos|pad|unk|image|video|start_of_turn)>|<\|[a-zA-Z_0-9]{1,40}\|>|\[INST\]"
)
_ROLE = re.compile(r"^(?:(?:assistant|model|bot)\s*:\s*)+", re.IGNORECASE)
_ASKED_FIRST = re.compile(r"^(?:user|human)\s*:", re.IGNORECASE)
_ANSWERED = re.compile(r"\bassistant\s*:", re.IGNORECASE)
_NEXT_TURN = re.compile(r"\n\s{0,8}(?:USER|Human|User|HUMAN)\s*:")


def drop_tokens(text: str, asked: Asked) -> Found:
    """The first turn of the assistant; what a model wrote on after it is another's."""
    flags: tuple[str, ...] = ()
    headers = _HEADER.search(text)
    if headers is not None and (
        text.lstrip().startswith("[INST]") or not _said(text[: headers.start()])
    ):
        text = text[headers.end() :]
    if _ASKED_FIRST.match(text.strip()):
        answered = _ANSWERED.search(text)
        text = text[answered.end() :] if answered else text
    start = 0
    for match in _ENDS.finditer(text):
        if _said(text[start : match.start()]):
            if _said(text[match.end() :]):
                flags = ("cut_at_turn",)
            text = text[: match.start()]
            break
        start = match.end()
    turn = _NEXT_TURN.search(text)
    if turn is not None and _said(text[: turn.start()]):
        text, flags = text[: turn.start()], ("cut_at_turn",)
    text = _OTHER.sub(" ", _ENDS.sub(" ", text)).strip()
    return Found(_ROLE.sub("", text), None, flags)


def find_garbled(text: str, asked: Asked) -> Found:
    """`garbled`: bytes that were not text, halves of characters, control characters."""
    is_garbled = any(
        c == "\ufffd"
        or (unicodedata.category(c) in ("Cc", "Cs", "Cn") and c not in "\t\n\r\f\v\x85")
        for c in set(text)
    )
    return Found(text, "garbled" if is_garbled else None)


def _said(text: str) -> bool:
    """Whether there are words besides control tokens."""
    return any(c.isalpha() for c in _OTHER.sub("", _ENDS.sub("", text)))
