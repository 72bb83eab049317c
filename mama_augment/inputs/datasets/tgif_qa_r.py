"""TGIF-QA-R (Peng et al. 2021): the questions of TGIF-QA with distractors that are less biased."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from mama_augment.inputs.datasets.base import TEST, TRAIN, Item, Question
from mama_augment.inputs.datasets.files import Annotations
from mama_augment.inputs.datasets.tgif_qa import held_out

OPTIONS = tuple(f"a{number}" for number in range(5))


class TgifQaR:
    """As VGT's release has it: a folder per task, in it train.csv and test.csv."""

    name = "tgif-qa-r"
    help = "TGIF-QA-R: action, transition"
    parts: ClassVar[tuple[str, ...]] = ("action", "transition")
    sizes: ClassVar[Mapping[str, Mapping[str, int]]] = {
        "action": {TEST: 2274},
        "transition": {TEST: 6232},
    }
    counts = "questions"
    note = "Say which of TGIF-QA and TGIF-QA-R a number is of: the same model has 95 and 60 %."

    def items(self, files: Annotations, part: str) -> Iterator[Item]:
        for split in (TRAIN, TEST):
            name = f"{part}/{split}.csv"
            for where, row in files.table(name, "video_id", "qid", "question", "answer", *OPTIONS):
                options = tuple(row[option] for option in OPTIONS)
                answer = row.option_number("answer", len(options))
                gif = row["video_id"]
                question = Question(
                    question_id=row["qid"],
                    question=row["question"],
                    options=options,
                    answer=options[answer],
                    answer_index=answer,
                    type=part,
                )
                yield Item(
                    names=(f"{gif}.gif", gif),
                    clip_id=gif,
                    split=held_out(gif) if split == TRAIN else split,
                    where=where,
                    question=question,
                )
