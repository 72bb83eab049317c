"""Accuracies of answers, by counting on one's fingers."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from mama_train.data.asked import Asking
from mama_train.data.questions import Question
from mama_train.measure.answers import answer_metrics, answer_ranks


def test_ranks_are_those_of_counting_and_ties_are_lost() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randint(0, 5, (60, 12), generator=generator).double()
    logits[::3, 9:] = -torch.inf
    answer = torch.randint(0, 9, (60,), generator=generator)
    found = answer_ranks(logits, answer).tolist()
    for row, right, rank in zip(logits.tolist(), answer.tolist(), found, strict=True):
        others = [x for i, x in enumerate(row) if i != right and x != float("-inf")]
        assert rank == 1 + sum(x >= row[right] for x in others)
    assert answer_ranks(torch.zeros(1, 4), torch.tensor([2])).tolist() == [4]


def question(kind: str, group: str | None, answer: str = "a") -> Question:
    return Question(
        id="q",
        text="?",
        options=("a", "b", "c", "d", "e"),
        answer=answer,
        right=0,
        type=kind,
        group=group,
        is_aligned=None,
    )


def of_videos(videos: list[list[Question]], class_of: dict[str, int] | None = None) -> Any:
    first = np.concatenate([[0], np.cumsum([len(v) for v in videos])])
    every = [q for video in videos for q in video]

    class All(list[Question]):
        first_R = first

        def at(self, row: int, place: int) -> Question:
            return videos[row][place]

    return SimpleNamespace(asking=Asking(class_of=class_of), questions=All(every))


def test_joint_accuracies_are_causal_vidqas() -> None:
    """D, E, and P and C that are right only if answer and reason are: 83.33 % of the items, and
    their mean over D, E, P, C."""
    kinds = [("d", None), ("e", None), ("pa", "p"), ("pr", "p"), ("ca", "c"), ("cr", "c")]
    video = [question(kind, group) for kind, group in kinds]
    source = of_videos([video, video])
    rank = np.array([1, 1, 1, 2, 1, 1, 3, 1, 1, 1, 1, 1])
    found = answer_metrics(rank, video + video, [0] * 6 + [1] * 6, source)
    assert found["answers"]["acc"] == pytest.approx(100 * 10 / 12)
    assert found["by_group"] == {
        "descriptive": {"acc": 50.0, "num_questions": 2},
        "explanatory": {"acc": 100.0, "num_questions": 2},
        "predictive": {"acc": 50.0, "num_questions": 2},
        "counterfactual": {"acc": 100.0, "num_questions": 2},
    }
    assert found["joint"] == {"acc": 75.0, "num_questions": 8, "num_broken": 0}
    assert found["by_type"]["pr"] == {"acc": 50.0, "num_questions": 2}
    # A pair of which one half is missing is no pair.
    half = answer_metrics(rank[:5], video[:5], [0] * 5, source)
    assert half["joint"]["num_broken"] == 1
    assert "counterfactual" not in half["by_group"]


def test_types_of_next_qa_are_grouped() -> None:
    kinds = ["CW", "CH", "TN", "TP", "TC", "DC", "DL", "DO"]
    some = [question(kind, None) for kind in kinds]
    rank = np.array([1, 2, 1, 1, 2, 1, 1, 1])
    found = answer_metrics(rank, some, [0] * 8, of_videos([some]))
    numbers = {name: (of["acc"], of["num_questions"]) for name, of in found["by_group"].items()}
    assert numbers == {
        "causal": (50.0, 2),
        "temporal": (pytest.approx(200 / 3), 3),
        "descriptive": (100.0, 3),
    }


def test_answers_outside_the_vocabulary_are_wrong_and_counted() -> None:
    class_of = {f"w{i}": i for i in range(20)}
    some = [question("", None, answer) for answer in ("w0", "w5", "unheard", "w0")]
    found = answer_metrics(
        np.array([1, 9, 21, 2]), some, [0, 0, 1, 1], of_videos([some[:2], some[2:]], class_of)
    )
    assert (found["answers"]["acc"], found["answers"]["acc@10"]) == (25.0, 75.0)
    assert (found["num_outside"], found["majority"]) == (1, 50.0)
    assert found["chance"]["answers"] == {"acc": pytest.approx(3.75), "acc@10": 100 * 1.5 / 4}


def test_the_official_example_gives_the_official_numbers(shared_dir: Path) -> None:
    """Predictions in the order of `<video>_<0..5>`: D, E, PA, PR, CA, CR."""
    path = shared_dir / "datasets/causal-vidqa/results_example.json"
    results = json.loads(path.read_text())
    kinds = [("d", None), ("e", None), ("pa", "p"), ("pr", "p"), ("ca", "c"), ("cr", "c")]
    videos = sorted({key.rpartition("_")[0] for key in results})
    asked, rank, rows = [], [], []
    for row, video in enumerate(videos):
        asked.append([question(kind, group) for kind, group in kinds])
        for number in range(len(kinds)):
            of = results[f"{video}_{number}"]
            rank.append(1 if of["prediction"] == of["answer"] else 2)
            rows.append(row)
    every = [q for some in asked for q in some]
    found = answer_metrics(np.array(rank), every, rows, of_videos(asked))
    by_type = {name: round(of["acc"], 2) for name, of in found["by_type"].items()}
    assert by_type == {"d": 100, "e": 100, "pa": 100, "pr": 33.33, "ca": 100, "cr": 100}
    by_group = {name: round(of["acc"], 2) for name, of in found["by_group"].items()}
    assert by_group["predictive"] == 33.33
    assert by_group["counterfactual"] == 100
    assert round(found["joint"]["acc"], 2) == 83.33


def test_families_are_what_stands_before_the_colon() -> None:
    some = [question("temporal:first", None, "a"), question("temporal:last", None, "b")]
    some += [question("temporal:last", None, "c")] * 2
    found = answer_metrics(np.array([1, 2, 1, 1]), some, [0] * 4, of_videos([some], {"a": 0}))
    assert found["by_group"]["temporal"] == {"acc": 75.0, "num_questions": 4}
    # "a" for every first one, "c" for every last one.
    assert found["majority_by_type"] == 75.0
