"""TGIF-QA (Jang et al. 2017): action and transition (multiple choice), frameqa (open), count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from mama_augment.core.draws import draw_unit
from mama_augment.inputs.datasets.base import TEST, TRAIN, VAL, Item, Question
from mama_augment.inputs.datasets.files import Annotations, Row

OPTIONS = tuple(f"a{number}" for number in range(1, 6))
FRAMEQA_TYPES = {"0": "object", "1": "number", "2": "color", "3": "location"}
VAL_SHARE = 0.1


class TgifQa:
    """Called csv, but separated by tabs, with quotes that mean nothing. The columns `vid_id` and
    `key` look swapped: `vid_id` holds the question's id."""

    name = "tgif-qa"
    help = "TGIF-QA: action, transition, frameqa, count"
    parts: ClassVar[tuple[str, ...]] = ("action", "transition", "frameqa", "count")
    sizes: ClassVar[Mapping[str, Mapping[str, int]]] = {
        "action": {TEST: 2274},
        "transition": {TEST: 6232},
        "frameqa": {TEST: 13691},
        "count": {TEST: 3554},
    }
    counts = "questions"
    note = (
        "There is no published validation part: a tenth of the training GIFs is held out, by a "
        "hash of their names. Distractors are so biased that models of text alone score high."
    )

    def items(self, files: Annotations, part: str) -> Iterator[Item]:
        for split, stem in ((TRAIN, "Train"), (TEST, "Test")):
            name = f"{stem}_{part}_question.csv"
            columns = OPTIONS if part in ("action", "transition") else ()
            needed = ("gif_name", "question", "answer", "vid_id", *columns)
            for where, row in files.table(name, *needed, tabs=True):
                gif = row["gif_name"]
                yield Item(
                    names=(f"{gif}.gif", gif),
                    clip_id=gif,
                    split=held_out(gif) if split == TRAIN else split,
                    where=where,
                    question=_question(row, part),
                )


def _question(row: Row, part: str) -> Question:
    if part in ("action", "transition"):
        options = tuple(row[option] for option in OPTIONS)
        answer = row.option_number("answer", len(options))
        return Question(
            question_id=row["vid_id"],
            question=row["question"],
            options=options,
            answer=options[answer],
            answer_index=answer,
            type=part,
        )
    kind = FRAMEQA_TYPES.get(row["type"], "other") if part == "frameqa" else part
    return Question(
        question_id=row["vid_id"], question=row["question"], answer=row["answer"], type=kind
    )


def held_out(gif: str) -> str:
    """`val` for a tenth of the GIFs, else `train`."""
    return VAL if draw_unit("tgif-qa val", gif) < VAL_SHARE else TRAIN
