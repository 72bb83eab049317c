"""Questions and options as VIOLET's forms read them, in token ids.

Text of users is encoded without special tokens, and the special ones are put in here, so that a
question that spells "[MASK]" cannot become one. Places of [MASK]: right after what it answers,
before [SEP] or padding.

Shapes: B texts, S tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mama_augment.core.errors import InputError

Ids = Sequence[int]


@dataclass(frozen=True, kw_only=True)
class Specials:
    """Ids of a BERT's special tokens; the defaults are bert-base-uncased's."""

    pad: int = 0
    cls: int = 101
    sep: int = 102
    mask: int = 103


def plain(specials: Specials, *parts: Ids, max_tokens: int) -> list[int]:
    """[CLS] parts [SEP]: a question, a caption, or a question with an option."""
    return _between(specials, [i for part in parts for i in part], [], max_tokens)


def asking_word(specials: Specials, question: Ids, answer_is: Ids, *, max_tokens: int) -> list[int]:
    """[CLS] question "answer" ":" [MASK] [SEP]; answer_is: the ids of "answer :"."""
    return _between(specials, list(question), [*answer_is, specials.mask], max_tokens)


def asking_truth(specials: Specials, question: Ids, option: Ids, *, max_tokens: int) -> list[int]:
    """[CLS] question option [MASK] [SEP]; of one option."""
    return _between(specials, [*question, *option], [specials.mask], max_tokens)


def asking_index(
    specials: Specials,
    question: Ids,
    options: Sequence[tuple[Ids, Ids]],
    *,
    max_tokens: int,
) -> list[int]:
    """[CLS] question [SEP] label option [SEP] label option … [MASK] [SEP]; of each option the ids
    of its label ("option 0:") and its own."""
    ids = list(question)
    for label, option in options:
        ids += [specials.sep, *label, *option]
    return _between(specials, ids, [specials.mask], max_tokens)


def padded(specials: Specials, texts: Sequence[Ids]) -> tuple[Tensor, Tensor]:
    """(ids, mask) int64 [B,S], filled up to the longest; mask 1 = token."""
    longest = max(len(text) for text in texts)
    ids = torch.full((len(texts), longest), specials.pad, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = torch.tensor(text)
        mask[row, : len(text)] = 1
    return ids, mask


def _between(specials: Specials, ids: list[int], end: list[int], max_tokens: int) -> list[int]:
    """[CLS] ids end [SEP]; what is too long loses the last of `ids`, never of `end`."""
    room = max_tokens - 2 - len(end)
    if room < 1:
        raise InputError(f"max_tokens is {max_tokens}; this form needs at least {3 + len(end)}")
    return [specials.cls, *ids[:room], *end, specials.sep]
