"""What the trainer asks of a task. The loss that a batch gets is the objective's, by what it holds:
pairs alone, or pairs and questions (`objective/objective.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch

from mama_train.data.config import DataConfig
from mama_train.data.index import SplitIndex
from mama_train.data.source import BatchSource, Items
from mama_train.models.base import DualEncoder
from mama_train.models.tokenizer import TextTokenizer

Metrics = dict[str, Any]


class Task(Protocol):
    """One task; `TASKS` has them by name."""

    contrast: float
    """β of ℓ_i = ℓ_i^qa + β ℓ_i^con; of no account where nothing is asked."""

    def learn(self, train: SplitIndex, data: DataConfig, notes: list[str]) -> None:
        """Look at the training split before anything else.

        Raises:
            InputError: it cannot be trained on, or settings do not fit the task.
        """

    def items(self, index: SplitIndex) -> Items:
        """What of a split is visited, and who makes batches of it."""

    def texts(self, train: SplitIndex) -> Iterator[str]:
        """Texts that a model from nothing makes its words of."""

    def check_truth(self, train: SplitIndex) -> None:
        """Raises InputError where shards do not say which items are right (weights oracle)."""

    def fit(self, model: DualEncoder, tokenizer: TextTokenizer, notes: list[str]) -> list[str]:
        """Give the model what the task needs; returns the names of parameters that are new."""

    def evaluate(
        self,
        model: DualEncoder,
        source: BatchSource,
        concepts: Sequence[dict[str, Any]] = (),
        *,
        autocast: torch.dtype | None = None,
        with_queries: bool = False,
    ) -> Metrics:
        """Metrics of a split; `measure/headline.py` knows their main number. with_queries: also,
        under `queries`, the rank of every query."""
