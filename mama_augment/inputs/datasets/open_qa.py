"""The files that MSVD-QA and MSRVTT-QA share (Xu et al. 2017): one word answers each question."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mama_augment.inputs.datasets.base import TEST, TRAIN, VAL, Item, Question
from mama_augment.inputs.datasets.files import Annotations

FIRST_WORDS = ("what", "who", "how", "when", "where")


def open_questions(
    files: Annotations, dataset: str, names: Callable[[int], tuple[str, ...]]
) -> Iterator[Item]:
    """The questions of all splits. `names` gives the file names of a video's number."""
    for split in (TRAIN, VAL, TEST):
        name = f"{split}_qa.json"
        for number, row in enumerate(files.json_of(name)):
            video = names(int(row["video_id"]))
            question = Question(
                question_id=f"{dataset}-{split}-{row['id']}",
                question=row["question"],
                answer=str(row["answer"]),
                type=question_type(row["question"]),
            )
            yield Item(
                names=video,
                clip_id=video[-1],
                split=split,
                where=f"{name} [{number}]",
                question=question,
            )


def question_type(question: str) -> str:
    """`color` where the word occurs, else the first word; other first words are `other`."""
    words = question.lower().replace("?", " ").split()
    if "color" in words or "colour" in words:
        return "color"
    return words[0] if words and words[0] in FIRST_WORDS else "other"
