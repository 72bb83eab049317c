"""The questions of a split, read once: about which clips they are, and what is known of them.

Shapes: R clip rows, Q questions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mama_augment.core.store.files import Folder
from mama_train.data.batch import same_text
from mama_train.data.index import SplitIndex

COLUMN = "questions"


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question about a clip. answer: its text, where it is known. right: the option that is the
    answer. is_aligned: in a made world, whether the answer is the right one."""

    id: str
    text: str
    options: tuple[str, ...]
    answer: str | None
    right: int | None
    type: str
    group: str | None
    is_aligned: bool | None

    @classmethod
    def of_row(cls, row: dict[str, Any]) -> Question:
        """Of a struct of shards. An answer by text alone is an option's, if it is just one's."""
        options, answer, right = tuple(row["options"] or ()), row["answer"], row["answer_index"]
        if right is None and answer is not None and options.count(answer) == 1:
            right = options.index(answer)
        if right is not None and not 0 <= right < len(options):
            right = None
        if answer is None and right is not None:
            answer = options[right]
        return cls(
            id=row["question_id"],
            text=row["question"],
            options=options,
            answer=answer,
            right=right,
            type=row["type"] or "",
            group=row["question_group"],
            is_aligned=row.get("is_aligned"),
        )

    @property
    def sentence(self) -> str:
        """Question and answer as one text, for clips that have no other."""
        return f"{self.text} {self.answer}"


@dataclass(frozen=True, kw_only=True)
class Questions:
    """All questions of a split, clip by clip. first_R: where each clip's begin, and the end."""

    rows: pa.StructArray
    first_R: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, row: int, place: int) -> Question:
        """A question of a clip by its place among that clip's."""
        return Question.of_row(self.rows[int(self.first_R[row]) + place].as_py())

    def __iter__(self) -> Iterator[Question]:
        for number in range(len(self)):
            yield Question.of_row(self.rows[number].as_py())

    def index(self, clips: SplitIndex, kept_Q: NDArray[np.bool_]) -> SplitIndex:
        """The index of the same clips that holds some of the questions in place of captions."""
        clip_Q = np.repeat(np.arange(len(self.first_R) - 1), np.diff(self.first_R))
        place_Q = np.arange(len(self)) - self.first_R[clip_Q]
        fields = dict(vars(clips)) | {
            "clip_C": clip_Q[kept_Q],
            "caption_C": place_Q[kept_Q],
            "is_generated_C": np.zeros(int(kept_Q.sum()), bool),
            "number_C": np.flatnonzero(kept_Q),
        }
        return SplitIndex(**fields)


def read_questions(index: SplitIndex) -> Questions:
    """The questions of a split; a clip without any has none.

    Raises:
        InputError: a file has no such column.
    """
    index.check_column(COLUMN, "question answering needs shards of clips with questions")
    folder = Folder(index.uri)
    parts, lengths = [], [np.empty(0, np.int64)]
    for name in dict.fromkeys(group[0] for group in index.groups):
        with folder.open_input(name) as stream:
            column = pq.ParquetFile(stream).read(columns=[COLUMN])[COLUMN].combine_chunks()
        parts.append(pc.list_flatten(column))
        lengths.append(pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64))
    rows = pa.concat_arrays(parts) if parts else pa.array([], pa.struct([]))
    return Questions(rows=rows, first_R=np.concatenate([[0], np.cumsum(np.concatenate(lengths))]))


def vocabulary(questions: Iterable[Question], most: int) -> tuple[str, ...]:
    """The most frequent answers, in the form that `same_text` gives; of equally frequent ones,
    those that come first."""
    counts = answer_counts(questions)
    first = {answer: place for place, answer in enumerate(counts)}
    return tuple(sorted(counts, key=lambda answer: (-counts[answer], first[answer]))[:most])


def answer_counts(questions: Iterable[Question]) -> Counter[str]:
    """How many questions have each answer, by its `same_text`, in their order."""
    return Counter(same_text(q.answer) for q in questions if q.answer is not None)


def kept(questions: Questions, wanted: Sequence[bool]) -> NDArray[np.bool_]:
    """A mask of questions."""
    assert len(wanted) == len(questions)
    return np.array(wanted, bool)
