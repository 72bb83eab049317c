"""Questions as texts: each is counted, thinned and accounted as one, by its words and its answer's.

So concepts are of question and answer, a rare answer is of the tail, and a question leaves with a
reason as a text does. What is kept goes to the shards' own column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from mama_augment.balance.corpus import QUESTION, ClipTexts, Text
from mama_augment.core.schema import CLIP_EXTRAS

COLUMN = "questions"
TYPE = CLIP_EXTRAS.field(COLUMN).type


def question_text(clip_id: str, question: Mapping[str, Any]) -> Text:
    """A question with its answer, where that is known."""
    options, index, answer = question["options"], question["answer_index"], question["answer"]
    if answer is None and options and index is not None and 0 <= index < len(options):
        answer = options[index]
    return Text(
        id=f"{clip_id}|{QUESTION}|{question['question_id']}",
        text=f"{question['question']} {answer or ''}".strip(),
        source=QUESTION,
        trusted=bool(question["trusted"]),
    )


def kept_questions(column: pa.ChunkedArray, clips: Sequence[ClipTexts]) -> pa.Array:
    """The column of these clips with the questions that are still in, as they were."""
    rows = []
    for given, clip in zip(column.to_pylist(), clips, strict=True):
        kept = {text.id for text in clip.kept() if text.is_question}
        ids = (question_text(clip.clip_id, question).id for question in given or ())
        some = [question for question, i in zip(given or (), ids, strict=True) if i in kept]
        rows.append(some if given is not None else None)
    return pa.array(rows, TYPE)
