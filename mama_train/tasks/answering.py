"""What both tasks of question answering share.

    ℓ_i = ℓ_i^qa + β ℓ_i^con,   ω = V(sg ℓ),   L_meta = mean ℓ^qa on the meta split

A visit is a question. Questions without a known answer leave before anything is counted by them.
Two questions about one clip are not negatives of each other, as they share its key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar

import torch

from mama_augment.core.errors import InputError
from mama_train.data.asked import Asking, QuestionSource
from mama_train.data.config import DataConfig
from mama_train.data.index import SplitIndex
from mama_train.data.questions import Question, Questions, answer_counts, kept, read_questions
from mama_train.data.rows import all_texts
from mama_train.data.source import BatchSource, Items
from mama_train.measure.answers import evaluate_answers
from mama_train.models.answers import AnswerConfig, AnswerKind
from mama_train.models.base import DualEncoder
from mama_train.models.tokenizer import TextTokenizer
from mama_train.tasks.base import Metrics
from mama_train.tasks.config import TaskConfig


class Answering:
    """See `tasks.base.Task`."""

    kind: ClassVar[AnswerKind]

    def __init__(self, config: TaskConfig, answers: Sequence[str] | None = None) -> None:
        """`answers`: the vocabulary of a model that has one."""
        self.config = config
        self.contrast = config.contrast
        self.answers = tuple(answers or ())
        self.types = tuple(name.strip() for name in config.types.split(",") if name.strip())
        self.num_with: dict[str, int] = {}
        self.data = DataConfig()
        self._questions: dict[tuple[str, str], Questions] = {}

    def questions(self, index: SplitIndex) -> Questions:
        """Of a split, read once."""
        key = (index.uri, index.split)
        if key not in self._questions:
            self._questions[key] = read_questions(index)
        return self._questions[key]

    def is_usable(self, asking: Asking, question: Any, *, is_trained_on: bool) -> bool:
        """Whether a question is visited: in training its answer must be one that can be given; in
        evaluation it must be known."""
        raise NotImplementedError

    def is_asked(self, question: Question) -> bool:
        """Whether its type is wanted."""
        return not self.types or any(
            question.type == name or (name.endswith(":") and question.type.startswith(name))
            for name in self.types
        )

    def vocabulary_of(self, asked: Iterable[Question]) -> tuple[str, ...]:
        """The answers of the open kind."""
        return ()

    def learn(self, train: SplitIndex, data: DataConfig, notes: list[str]) -> None:
        if data.batches == "by-concept" or data.human_share is not None:
            raise InputError(
                f"--task {self.kind} visits questions, which have neither concepts nor sources: "
                "leave out --batches by-concept and --human-share"
            )
        questions = self.questions(train)
        self.data = data
        asked = [question for question in questions if self.is_asked(question)]
        self.num_with = dict(answer_counts(asked))
        self.answers = self.vocabulary_of(asked)
        num = self.items(train).index.num_captions
        if num == 0:
            types = sorted({question.type for question in questions})
            raise InputError(
                f"none of the {len(questions)} training questions in {train.uri!r} has a known "
                f"answer that --task {self.kind} can learn (--qa-types {self.config.types!r}; "
                f"there are {', '.join(types[:20])}); give shards with such questions, other types "
                "or another --task"
            )
        if left := len(questions) - num:
            notes.append(
                f"{left} of {len(questions)} training questions are left out: their answer is not "
                "known, or is not in the vocabulary or among the options; or nobody asked for "
                "their type"
            )

    def asking(self) -> Asking:
        """How questions are put."""
        is_open = self.kind == "qa-open"
        return Asking(
            class_of={a: i for i, a in enumerate(self.answers)} if is_open else None,
            num_with=self.num_with,
            with_captions=self.config.captions,
            sources=self.data.sources,
            video=self.config.video,
        )

    def items(self, index: SplitIndex) -> Items:
        if index.num_clips == 0:
            return Items(index=index)
        questions, asking = self.questions(index), self.asking()
        trains = index.split in ("train", "meta")
        usable = [
            self.is_asked(q) and self.is_usable(asking, q, is_trained_on=trains) for q in questions
        ]
        return Items(
            index=questions.index(index, kept(questions, usable)),
            make=partial(QuestionSource, questions=questions, asking=asking),
        )

    def texts(self, train: SplitIndex) -> Iterator[str]:
        yield from all_texts(train)
        for question in self.questions(train):
            yield question.text
            yield from question.options
            if question.answer is not None:
                yield question.answer

    def check_truth(self, train: SplitIndex) -> None:
        if any(q.is_aligned is None for q in self.questions(train)):
            raise InputError(
                f"weights oracle needs the truth about answers, and questions in {train.uri!r} "
                "lack it (the field is_aligned of questions); give other --weights"
            )

    def fit(self, model: DualEncoder, tokenizer: TextTokenizer, notes: list[str]) -> list[str]:
        config = AnswerConfig(
            kind=self.kind,
            width=model.embed_dim,
            hidden=self.config.hidden,
            answers=self.answers,
            types=self.types,
        )
        before = model.answer_head
        new = model.answer_with(config, tokenizer)
        if new and before is not None:
            notes.append("the head that answers starts anew: that of the model has other answers")
        return new

    def evaluate(
        self,
        model: DualEncoder,
        source: BatchSource,
        concepts: Sequence[dict[str, Any]] = (),
        *,
        autocast: torch.dtype | None = None,
        with_queries: bool = False,
    ) -> Metrics:
        assert isinstance(source, QuestionSource)
        return evaluate_answers(model, source, autocast=autocast, with_queries=with_queries)
