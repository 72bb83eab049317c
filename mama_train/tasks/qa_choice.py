"""Questions with options, one of which is right."""

from __future__ import annotations

from mama_train.data.asked import Asking
from mama_train.data.questions import Question
from mama_train.tasks.answering import Answering


class QaChoice(Answering):
    """See `tasks.base.Task`. An option that says the same as the right one is not a wrong one."""

    kind = "qa-choice"

    def is_usable(self, asking: Asking, question: Question, *, is_trained_on: bool) -> bool:
        return asking.answer(question) is not None
