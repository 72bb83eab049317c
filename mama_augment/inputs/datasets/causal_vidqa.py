"""Causal-VidQA (Li et al. 2022): description, explanation, prediction and counterfactuals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from mama_augment.core.errors import InputError
from mama_augment.inputs.datasets.base import TEST, TRAIN, VAL, Item, Question
from mama_augment.inputs.datasets.files import Annotations

SPLIT_FILES = {TRAIN: "split/train.pkl", VAL: "split/valid.pkl", TEST: "split/test.pkl"}
QUESTIONS = (
    ("descriptive", "answer", "d"),
    ("explanatory", "answer", "e"),
    ("predictive", "answer", "pa"),
    ("predictive", "reason", "pr"),
    ("counterfactual", "answer", "ca"),
    ("counterfactual", "reason", "cr"),
)
"""Section, what is chosen, type; in the order of the official result files."""
GROUPS = {"pa": "p", "pr": "p", "ca": "c", "cr": "c"}


class CausalVidQa:
    """Answer and reason of a prediction (and of a counterfactual) count only together: they have
    one `question_group`. Reasons are chosen with the question as text, not with the answer."""

    name = "causal-vidqa"
    help = "Causal-VidQA, multiple choice"
    parts: ClassVar[tuple[str, ...]] = ("choice",)
    sizes: ClassVar[Mapping[str, Mapping[str, int]]] = {
        "choice": {TRAIN: 18776, VAL: 2695, TEST: 5429}
    }
    counts = "videos"
    note = "Overall accuracy is the mean of D, E, P and C; the parts alone are not it."

    def items(self, files: Annotations, part: str) -> Iterator[Item]:
        for split, name in SPLIT_FILES.items():
            for video in files.plain_pickle(name):
                texts = files.json_of(f"QA/{video}/text.json")
                answers = files.json_of(f"QA/{video}/answer.json")
                for number, (section, choice, kind) in enumerate(QUESTIONS):
                    place = f"QA/{video}/text.json {section}.{choice}"
                    asked = texts[section]
                    answer = _answer(answers, section, choice, len(asked[choice]), files, place)
                    group = GROUPS.get(kind)
                    yield Item(
                        names=(f"{video}.mp4", video),
                        clip_id=video,
                        split=split,
                        where=place,
                        question=Question(
                            question_id=f"{video}_{number}",
                            question=asked["question"],
                            options=tuple(asked[choice]),
                            answer=None if answer is None else asked[choice][answer],
                            answer_index=answer,
                            type=kind,
                            question_group=f"{video}_{group}" if group else None,
                        ),
                    )


def _answer(
    answers: Any, section: str, choice: str, num_options: int, files: Annotations, place: str
) -> int | None:
    answer = answers.get(section, {}).get(choice)
    if answer is None:
        return None
    if not isinstance(answer, int) or not 0 <= answer < num_options:
        raise InputError(
            f"{files.folder}: {place}: the answer {answer!r} is not a number from 0 to "
            f"{num_options - 1}"
        )
    return answer
