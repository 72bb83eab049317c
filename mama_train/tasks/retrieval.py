"""Which text is of which clip, and the other way round: the contrastive loss alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from mama_train.data.config import DataConfig
from mama_train.data.index import SplitIndex
from mama_train.data.rows import all_texts, check_aligned
from mama_train.data.source import BatchSource, Items, captions_of
from mama_train.measure.evaluate import evaluate
from mama_train.models.base import DualEncoder
from mama_train.models.tokenizer import TextTokenizer
from mama_train.tasks.base import Metrics
from mama_train.tasks.config import TaskConfig


class Retrieval:
    """See `tasks.base.Task`."""

    contrast = 0.0

    def __init__(self, config: TaskConfig) -> None:
        """Nothing of `config` concerns it."""

    def learn(self, train: SplitIndex, data: DataConfig, notes: list[str]) -> None:
        """Nothing is to be learned beforehand."""

    def items(self, index: SplitIndex) -> Items:
        return captions_of(index)

    def texts(self, train: SplitIndex) -> Iterator[str]:
        return all_texts(train)

    def check_truth(self, train: SplitIndex) -> None:
        check_aligned(train)

    def fit(self, model: DualEncoder, tokenizer: TextTokenizer, notes: list[str]) -> list[str]:
        if model.answer_head is not None:
            notes.append("the head that answers questions is left out: the task is retrieval")
            model.answer_head = None
        return []

    def evaluate(
        self,
        model: DualEncoder,
        source: BatchSource,
        concepts: Sequence[dict[str, Any]] = (),
        *,
        autocast: torch.dtype | None = None,
        with_queries: bool = False,
    ) -> Metrics:
        return evaluate(model, source, concepts, autocast=autocast, with_queries=with_queries)
