"""Thoughts of a reasoning model: dropped where they end, rejected where they do not."""

from __future__ import annotations

import re

from mama_augment.caption.judge.said import Asked, Found

_NAMES = r"think(?:ing)?|thought|thoughts|reason(?:ing)?|reflection|analysis|scratchpad|seed:think"
_START = re.compile(rf"<(?:{_NAMES})>|\[THINK\]|◁think▷|<\|begin_of_thought\|>", re.IGNORECASE)
_END = re.compile(rf"</(?:{_NAMES})>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>", re.IGNORECASE)
_CHANNEL, _FINAL = "<|channel|>", re.compile(r"<\|channel\|>final[^<]{0,40}<\|message\|>")
_ANSWER = re.compile(r"</?answer>|<\|(?:begin|end)_of_(?:box|solution)\|>", re.IGNORECASE)


def drop_thoughts(text: str, asked: Asked) -> Found:
    """What stands after the last end of a thought; `thinking` where a thought is still open.

    A template may open the tag itself, so that the answer holds its end only.
    """
    ends = list(_END.finditer(text))
    if ends:
        text = text[ends[-1].end() :]
    if _START.search(text):
        return Found(text, "thinking")
    if _CHANNEL in text:
        finals = list(_FINAL.finditer(text))
        if not finals:
            return Found(text, "thinking")
        text = text[finals[-1].end() :]
    return Found(_ANSWER.sub(" ", text))
