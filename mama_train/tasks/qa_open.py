"""Questions whose answer is one of a vocabulary: the most frequent training answers."""

from __future__ import annotations

from collections.abc import Iterable

from mama_train.data.asked import Asking
from mama_train.data.questions import Question, vocabulary
from mama_train.tasks.answering import Answering


class QaOpen(Answering):
    """See `tasks.base.Task`. An answer outside the vocabulary is never learned, and is wrong in
    evaluation, whatever the model says."""

    kind = "qa-open"

    def vocabulary_of(self, asked: Iterable[Question]) -> tuple[str, ...]:
        return vocabulary(asked, self.config.answers)

    def is_usable(self, asking: Asking, question: Question, *, is_trained_on: bool) -> bool:
        if is_trained_on:
            return asking.answer(question) is not None
        return question.answer is not None
