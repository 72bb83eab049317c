"""NExT-QA (Xiao et al. 2021), multiple choice, in its three dialects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from mama_augment.inputs.datasets.base import TEST, TRAIN, VAL, Item, Question
from mama_augment.inputs.datasets.files import Annotations

MAP = "map_vid_vidorID.json"
OPTIONS = tuple(f"a{number}" for number in range(5))
NUMBERS = frozenset(str(number) for number in range(len(OPTIONS)))
TEMPORAL_WITH = {"TP": "TN"}
"""The benchmark counts "previous" questions among "next"."""


class NextQa:
    """Official files have a column `video` and the answer's number; others have `video_id`, and
    either the number or the answer's text."""

    name = "next-qa"
    help = "NExT-QA, multiple choice"
    parts: ClassVar[tuple[str, ...]] = ("choice",)
    sizes: ClassVar[Mapping[str, Mapping[str, int]]] = {
        "choice": {TRAIN: 34132, VAL: 4996, TEST: 8564}
    }
    counts = "questions"
    note = "Types: C (CW, CH), T (TN with TP, TC) and D (DC, DL, DO)."

    def items(self, files: Annotations, part: str) -> Iterator[Item]:
        folders = files.json_of(MAP) if files.has(MAP) else {}
        for split in (TRAIN, VAL, TEST):
            name = f"{split}.csv"
            rows = list(files.table(name, "question", "answer", "qid", "type", *OPTIONS))
            # A whole file is of one dialect: an option's text may be a number, too.
            has_numbers = all(row["answer"].strip() in NUMBERS for _, row in rows)
            for where, row in rows:
                video = row["video"] if "video" in row else row["video_id"]
                options = tuple(row[option] for option in OPTIONS)
                if has_numbers:
                    answer = row.option_number("answer", len(options))
                else:
                    answer = row.option_of_text("answer", options)
                question = Question(
                    question_id=f"{video}_{row['qid']}",  # a qid is unique only inside a video
                    question=row["question"],
                    options=options,
                    answer=options[answer],
                    answer_index=answer,
                    type=TEMPORAL_WITH.get(row["type"], row["type"]),
                )
                yield Item(
                    names=(f"{folders.get(video, video)}.mp4", f"{video}.mp4", video),
                    clip_id=video,
                    split=split,
                    where=where,
                    question=question,
                )
