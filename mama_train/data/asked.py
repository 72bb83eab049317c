"""Batches of questions: a visit is a question about a clip, beside one of the clip's texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from mama_augment.core.draws import mix
from mama_augment.core.schema import is_generated
from mama_train.data.batch import Asked, same_text
from mama_train.data.config import Sources
from mama_train.data.questions import Question, Questions
from mama_train.data.rows import Caption
from mama_train.data.source import BatchSource, Clip

VideoKind = Literal["own", "other", "none"]


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How questions are put.

    class_of: of each answer in the vocabulary its class; None where options are asked.
    num_with: training questions with each answer. with_captions: whether a clip's caption is the
    text of the contrastive term. video: what is seen: the clip, another clip, or nothing.
    """

    class_of: Mapping[str, int] | None
    num_with: Mapping[str, int] = field(default_factory=dict)
    with_captions: bool = True
    sources: Sources = "all"
    video: VideoKind = "own"

    def texts(self, question: Question) -> list[str]:
        """What is asked of the model: the question, or the question with each option."""
        if self.class_of is not None:
            return [question.text]
        return [f"{question.text} {option}" for option in question.options]

    def answer(self, question: Question) -> int | None:
        """The right class or option; None where it is unknown, or outside the vocabulary."""
        if self.class_of is None:
            return question.right if len(question.options) > 1 else None
        return self.class_of.get(same_text(question.answer)) if question.answer else None

    def counts(self, question: Question) -> list[bool]:
        """Which options count: an option that says the same as the answer is not a wrong one."""
        right = question.right
        told = [same_text(option) for option in question.options]
        return [i == right or right is None or t != told[right] for i, t in enumerate(told)]


class QuestionSource(BatchSource):
    """Batches of questions by request."""

    def __init__(self, *given: Any, questions: Questions, asking: Asking, **more: Any) -> None:
        super().__init__(*given, **more)
        self.questions, self.asking = questions, asking

    def beside(self, visits: NDArray[np.int64], draws: NDArray[np.uint64] | None) -> list[Caption]:
        """A caption of the clip, a generated one where there is one, or question and answer."""
        shifts = np.zeros(len(visits), np.uint64) if draws is None else draws
        found = []
        for (row, place), draw in zip(visits.tolist(), shifts.tolist(), strict=True):
            question = self.questions.at(row, place)
            captions = self._captions_of(row)
            if captions:
                chosen = captions[draw % len(captions)]
                text, agreement = chosen.text, chosen.agreement
            else:
                text, agreement = question.sentence, None
            found.append(
                Caption(
                    text=text,
                    source="",
                    concept_ids=(),
                    agreement=agreement,
                    is_aligned=question.is_aligned,
                )
            )
        return found

    def _captions_of(self, row: int) -> list[Caption]:
        if not self.asking.with_captions:
            return []
        captions = self.texts(row)[1]
        if self.asking.sources == "human":
            return [c for c in captions if not is_generated(c.source)]
        generated = [c for c in captions if is_generated(c.source)]
        return generated if self.asking.sources == "generated" else generated or captions

    def shown(self, row: int, draw: int | None = None) -> Clip:
        """The clip; or, to see what questions give away alone, another one, or nothing."""
        num = len(self.questions.first_R) - 1
        if self.asking.video == "other" and num > 1:
            step = 1 + int(mix(np.array([row]), 0)[0] % np.uint64(num - 1))
            return self.video((row + step) % num, draw)
        found = self.video(row, draw)
        return np.zeros_like(found) if self.asking.video == "none" else found

    def asked(self, visits: NDArray[np.int64], mine: slice) -> Asked:
        """The texts of this rank's questions; as many for each row as the longest of all has."""
        questions = [self.questions.at(row, place) for row, place in visits.tolist()]
        return self.asked_of(questions, mine)

    def asked_of(self, questions: Sequence[Question], mine: slice) -> Asked:
        """The same of questions; those whose answer is unknown get 0."""
        texts = [self.asking.texts(q) for q in questions]
        num = max(map(len, texts))
        own, of_own = questions[mine], texts[mine]
        ids, mask = self.tokenizer.encode(
            [t for of in of_own for t in (*of, *[""] * (num - len(of)))]
        )
        is_open = self.asking.class_of is not None
        counts = [[*self.asking.counts(q), *[False] * (num - len(q.options))] for q in own]
        return Asked(
            ids_bKS=ids.reshape(len(own), num, ids.shape[-1]),
            mask_bKS=mask.reshape(len(own), num, mask.shape[-1]),
            answer_b=torch.tensor([self.asking.answer(q) or 0 for q in own], dtype=torch.int64),
            counts_bK=None if is_open else torch.tensor(counts, dtype=torch.bool).reshape(-1, num),
        )

    def frequencies(self, visits: NDArray[np.int64], captions: Sequence[Caption]) -> list[float]:
        """How many training questions have each visit's answer."""
        found = []
        for row, place in visits.tolist():
            answer = self.questions.at(row, place).answer
            num = self.asking.num_with.get(same_text(answer)) if answer else None
            found.append(float("nan") if num is None else float(num))
        return found
