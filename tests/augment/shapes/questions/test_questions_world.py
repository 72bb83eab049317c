"""The world that is asked about: its answers are true, its noise is stated, its boxes fit."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from mama_augment.cli.running import run_step
from mama_augment.core.draws import Draws
from mama_augment.core.errors import InputError
from mama_augment.core.store.step_dir import StepDir
from mama_augment.keyframes.step import KeyFrames
from mama_augment.runtime import RuntimeConfig
from mama_augment.shapes.plain.config import PlainConfig
from mama_augment.shapes.questions.ask import CHOICE_TYPES, OPEN_TYPES, Asked
from mama_augment.shapes.questions.film import DOT, film
from mama_augment.shapes.questions.make import make_questions_world, manifest_row, scene_of
from mama_augment.shapes.world.render import COLOUR_RGB
from mama_augment.shapes.world.take import HEIGHT_PX, WIDTH_PX

CONFIG = PlainConfig(num_train=400, num_meta=60, num_val=60, num_test=240, noise_rate=0.4)


@pytest.fixture(scope="module")
def rows() -> dict[str, list[dict[str, Any]]]:
    return {
        split: [manifest_row(CONFIG, split, i) for i in range(CONFIG.num_in(split))]
        for split in ("train", "test")
    }


def answers(row: dict[str, Any]) -> dict[str, str]:
    return {q["type"]: q["answer"] for q in row["questions"]}


def test_held_out_answers_are_what_the_clip_shows(rows: dict[str, list[dict[str, Any]]]) -> None:
    numbers = ("zero", "one", "two", "three")
    for i, row in enumerate(rows["test"]):
        asked = scene_of(CONFIG, "test", i)
        scene, found = asked.scene, answers(row)
        assert row["text"] == scene.caption
        assert found["descriptive:colour"] == scene.colour
        assert found["descriptive:shape"] == scene.shape
        assert found["descriptive:count"] == numbers[asked.num_dots]
        assert found["temporal:first"] == scene.first_motion
        assert found["temporal:last"] == scene.second_motion
        assert found["descriptive:what"] == f"a {scene.concept}"
        assert found["temporal:order"] == f"it {scene.first_motion}, then it {scene.second_motion}"
        assert all(q["is_aligned"] and q["trusted"] for q in row["questions"])
        for question in row["questions"]:
            options = question["options"]
            if question["type"] in OPEN_TYPES:
                assert options is None
                continue
            assert len(set(options)) == (6 if question["type"] == "temporal:order" else 5)
            assert options[question["answer_index"]] == question["answer"]


def test_the_reversed_order_is_among_the_options(rows: dict[str, list[dict[str, Any]]]) -> None:
    for i, row in enumerate(rows["test"]):
        scene = scene_of(CONFIG, "test", i).scene
        (order,) = (q for q in row["questions"] if q["type"] == "temporal:order")
        assert f"it {scene.second_motion}, then it {scene.first_motion}" in order["options"]


@pytest.mark.parametrize("kind", [*OPEN_TYPES, *CHOICE_TYPES])
def test_wrong_answers_come_at_the_rate_and_are_wrong(
    rows: dict[str, list[dict[str, Any]]], kind: str
) -> None:
    wrong = 0
    clean = dataclasses.replace(CONFIG, noise_rate=0.0)
    for i, row in enumerate(rows["train"]):
        (found,) = (q for q in row["questions"] if q["type"] == kind)
        (right,) = (q for q in manifest_row(clean, "train", i)["questions"] if q["type"] == kind)
        assert found["options"] == right["options"]
        assert found["is_aligned"] == (found["answer"] == right["answer"])
        assert not found["trusted"]
        wrong += not found["is_aligned"]
    # Four standard deviations of 400 draws.
    assert abs(wrong / 400 - 0.4) < 4 * (0.4 * 0.6 / 400) ** 0.5


def test_zipf_makes_a_head_and_zero_does_not(rows: dict[str, list[dict[str, Any]]]) -> None:
    def most(config: PlainConfig) -> float:
        scenes = [scene_of(config, "train", i).scene.concept for i in range(400)]
        return Counter(scenes).most_common(1)[0][1] / 400

    assert most(dataclasses.replace(CONFIG, zipf_exponent=0.0)) < 0.25
    assert most(CONFIG) > 0.35


def told_by_words(rows: dict[str, list[dict[str, Any]]], kind: str) -> tuple[float, float]:
    """(accuracy on test of whoever knows how often each answer of a question was right in train,
    and of options how often each was right where it was offered, and how they hang together;
    accuracy of the most frequent answer, or of chance), in percent."""
    right: Counter[Any] = Counter()
    offered: Counter[Any] = Counter()

    def clues(question: dict[str, Any], answer: str) -> list[Any]:
        """Words of the answer, and how many of the options share its motions or nouns."""
        shared = sum(bool(set(answer.split()) & set(o.split())) for o in question["options"] or [])
        halves = [part for o in question["options"] or [] for part in o.split(", ")]
        common = sum(halves.count(part) for part in answer.split(", "))
        return [(question["question"], answer), (kind, "shared", shared), (kind, "halves", common)]

    def asked(split: str) -> list[dict[str, Any]]:
        return [q for row in rows[split] for q in row["questions"] if q["type"] == kind]

    answers = sorted({q["answer"] for q in asked("train")})
    for question in asked("train"):
        for answer in question["options"] or answers:
            for clue in clues(question, answer):
                offered[clue] += 1
                right[clue] += answer == question["answer"]
    score = 0
    for question in asked("test"):
        candidates = question["options"] or answers
        rates = [
            [right[clue] / offered[clue] if offered[clue] else 0 for clue in clues(question, c)]
            for c in candidates
        ]
        score += candidates[int(np.argmax(np.sum(rates, axis=1)))] == question["answer"]
    found = asked("test")
    usual = Counter(q["answer"] for q in found).most_common(1)[0][1] / len(found)
    chance = 1 / len(found[0]["options"]) if found[0]["options"] else usual
    return 100 * score / len(found), 100 * chance


@pytest.fixture(scope="module")
def even() -> dict[str, list[dict[str, Any]]]:
    config = dataclasses.replace(CONFIG, num_train=1200, num_test=720, zipf_exponent=0.0)
    return {
        split: [manifest_row(config, split, i, boxes=False) for i in range(config.num_in(split))]
        for split in ("train", "test")
    }


@pytest.mark.parametrize("kind", [*OPEN_TYPES, *CHOICE_TYPES])
def test_questions_give_nothing_away(even: dict[str, list[dict[str, Any]]], kind: str) -> None:
    """Within 5 points, and two standard deviations of 720 questions."""
    by_words, usual = told_by_words(even, kind)
    assert by_words < usual + 5 + 100 * 2 * (0.25 * 0.75 / 720) ** 0.5


def test_boxes_hold_what_they_name() -> None:
    """The shape's colour, and white for dots, fill the middle of their boxes."""
    for i in range(12):
        asked: Asked = scene_of(CONFIG, "test", i)
        made = film(asked, Draws((1, i)))
        for frame, in_frame in zip(made.frames(), made.boxes(), strict=True):
            regions = in_frame["regions"]
            assert len(regions) == 1 + asked.num_dots
            for region in regions[1:]:
                x, y = (region["x1"] + region["x2"]) / 2, (region["y1"] + region["y2"]) / 2
                assert frame[int(y * 128), int(x * 96)].min() > 200
                assert abs((region["x2"] - region["x1"]) - DOT) < 1e-6
                assert abs((region["y2"] - region["y1"]) * HEIGHT_PX / WIDTH_PX - DOT) < 1e-6
            shape = regions[0]
            x1, x2 = int(shape["x1"] * 96), int(shape["x2"] * 96)
            y1, y2 = int(shape["y1"] * 128), int(shape["y2"] * 128)
            near = np.abs(frame.astype(int) - COLOUR_RGB[asked.scene.colour]).max(-1) < 60
            assert near[y1:y2, x1:x2].sum() > 0.3 * (x2 - x1) * (y2 - y1)
            near[y1 : y2 + 1, x1 : x2 + 1] = False
            assert near.mean() < 0.01


def test_the_product_s_own_commands_read_it(tmp_path: Path) -> None:
    config = PlainConfig(num_train=4, num_meta=2, num_val=0, num_test=2)
    made = make_questions_world(tmp_path / "w", config, num_workers=1)
    again = make_questions_world(tmp_path / "again", config, num_workers=1)
    for path in sorted((tmp_path / "w/videos").glob("*.mp4")):
        assert path.read_bytes() == (tmp_path / "again/videos" / path.name).read_bytes()
    assert made.num_questions == again.num_questions == 8 * 8
    with pytest.raises(InputError, match="another world"):
        make_questions_world(tmp_path / "w", dataclasses.replace(config, seed=1))
    run_step(
        KeyFrames.of(str(made.manifest)), str(tmp_path / "clips"), RuntimeConfig(num_workers=1)
    )
    clips = StepDir.open(str(tmp_path / "clips"), step="keyframes")
    table = pq.read_table(made.manifest)
    given = {row["clip_id"]: row for row in table.to_pylist()}
    found = [row for part in clips.tables() for row in part.to_pylist()]
    assert len(found) == 8
    for row in found:
        assert row["questions"] == given[row["clip_id"]]["questions"]
        assert row["true_regions"] == given[row["clip_id"]]["true_regions"]
