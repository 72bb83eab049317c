"""The tasks by name."""

from __future__ import annotations

from collections.abc import Callable

from mama_train.models.base import DualEncoder
from mama_train.tasks.base import Task
from mama_train.tasks.config import TaskConfig
from mama_train.tasks.qa_choice import QaChoice
from mama_train.tasks.qa_open import QaOpen
from mama_train.tasks.retrieval import Retrieval

TASKS: dict[str, Callable[[TaskConfig], Task]] = {
    "retrieval": Retrieval,
    "qa-open": QaOpen,
    "qa-choice": QaChoice,
}


def task_of(model: DualEncoder) -> Task:
    """What a trained model does, to measure it."""
    head = model.answer_head
    if head is None:
        return Retrieval(TaskConfig())
    types = ",".join(head.config.types)
    if head.config.kind == "qa-open":
        return QaOpen(TaskConfig(name="qa-open", types=types), head.config.answers)
    return QaChoice(TaskConfig(name="qa-choice", types=types))
