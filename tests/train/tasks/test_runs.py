"""Runs of question answering: what is visited, what is measured, and that a run can go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mama_augment.core.errors import InputError
from mama_train.commands import run_compare, run_eval, run_export
from mama_train.config import TrainConfig
from mama_train.data.asked import Asking, QuestionSource
from mama_train.data.batch import same_text
from mama_train.data.config import DataConfig
from mama_train.data.index import read_index
from mama_train.data.loader import Loader
from mama_train.data.questions import Question
from mama_train.measure.config import Measured
from mama_train.models.specs import FrameSpec
from mama_train.models.tokenizer import TextTokenizer
from mama_train.report.page import write_report
from mama_train.run.checkpoint import find_checkpoint, load_model
from mama_train.run.loop import train
from mama_train.run.watch import Watch
from mama_train.tasks.config import TaskConfig
from mama_train.tasks.qa_choice import QaChoice
from mama_train.tasks.qa_open import QaOpen
from tests.train.questions_helper import write_question_shards
from tests.train.shards_helper import COLOURS, WAYS

SIZES = {"train": 18, "meta": 7, "val": 5, "test": 6}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_question_shards(tmp_path_factory.mktemp("questions") / "shards", SIZES)


def config(shards: Path, out: Path, task: str, **more: Any) -> TrainConfig:
    fields = {"steps": 6, "batch_size": 6, "meta_batch_size": 4, "num_frames": 2, "meta_every": 2}
    return TrainConfig.of(
        shards=str(shards),
        out=str(out),
        task=task,
        qa_answers=8,
        tensorboard=False,
        **fields | more,
    )


def loader(task: QaOpen | QaChoice, shards: Path, split: str = "train") -> Loader:
    train = read_index(str(shards), "train")
    task.learn(train, DataConfig(batch_size=5), [])
    items = task.items(read_index(str(shards), split))
    tokenizer = TextTokenizer.of_words(task.texts(train), max_tokens=16)
    spec = FrameSpec(num_frames=2, size_px=16)
    data = DataConfig(batch_size=5)
    return Loader(items.index, spec, tokenizer, {}, data, seed=0, make=items.make)


@pytest.mark.parametrize("kind", [QaOpen, QaChoice])
def test_an_epoch_visits_every_question_with_a_known_answer_once(
    kind: type[QaOpen] | type[QaChoice], shards: Path
) -> None:
    task = kind(TaskConfig(name=kind.kind, answers=8))
    visits = loader(task, shards)
    source = visits.clips
    assert isinstance(source, QuestionSource)
    order = visits.epoch(0)
    seen = {tuple(v) for v in order.visits.tolist()} | set(order.left)
    assert len(seen) == len(order.visits) + len(order.left)
    wanted = {
        (row, place)
        for row in range(17)
        for place in range(4)
        if task.asking().answer(source.questions.at(row, place)) is not None
    }
    # The answers that occur once are outside the vocabulary; one question has no known answer.
    assert seen == wanted
    assert len(wanted) == 34
    for _ in range(3):
        rows = order.batch(0)[:, 0].tolist()
        assert len(set(rows)) == len(rows)


def test_the_vocabulary_is_of_the_most_frequent_training_answers(shards: Path) -> None:
    task = QaOpen(TaskConfig(name="qa-open", answers=8))
    notes: list[str] = []
    task.learn(read_index(str(shards), "train"), DataConfig(), notes)
    assert set(task.answers) == {*COLOURS, *(f"to the {w}" for w in WAYS)}
    assert notes[0].startswith("34 of 68 training questions are left out")


def test_a_batch_asks_what_the_shards_ask(shards: Path) -> None:
    task = QaChoice(TaskConfig(name="qa-choice"))
    visits = loader(task, shards)
    batch = visits.clips[visits.epoch(0).batch(0), None]
    source = visits.clips
    assert isinstance(source, QuestionSource)
    assert batch.asked is not None
    for i, (row, place) in enumerate(visits.epoch(0).batch(0).tolist()):
        question = source.questions.at(row, place)
        ids, _ = source.tokenizer.encode([f"{question.text} {o}" for o in question.options])
        width = ids.shape[1]
        assert torch.equal(batch.asked.ids_bKS[i, :, :width], ids)
        assert question.options[int(batch.asked.answer_b[i])] == question.answer
        # Generated captions are the text of the contrastive loss.
        generated = [c.text for c in source.texts(row)[1] if c.source != "human"]
        told, _ = source.tokenizer.encode(generated)
        assert torch.equal(batch.input_ids_BS[i, : told.shape[1]], told[0])
    alone = QaChoice(TaskConfig(name="qa-choice", captions=False))
    sentence = loader(alone, shards).clips.beside(visits.epoch(0).batch(0), None)[0]
    question = source.questions.at(*visits.epoch(0).batch(0)[0].tolist())
    assert sentence.text == f"{question.text} {question.answer}"


def test_an_option_that_says_the_same_as_the_answer_is_not_a_wrong_one() -> None:
    row = {"question_id": "q", "question": "?", "options": ["A dog", "a  dog", "cat"]}
    question = Question.of_row(
        row | {"answer": None, "answer_index": 1, "type": None, "question_group": None}
    )
    assert Asking(class_of=None).counts(question) == [False, True, True]


@pytest.mark.parametrize("task", ["qa-open", "qa-choice"])
def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    task: str, shards: Path, tmp_path: Path
) -> None:
    more = {"rows_per_pass": 4, "save_every": 2}
    whole = train(config(shards, tmp_path / "whole", task, **more))

    class Stops(Watch):
        def step(self, row: dict[str, Any], num_samples: int) -> None:
            if row["step"] == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config(shards, tmp_path / "parts", task, **more), watch=Stops())
    parts = train(config(shards, tmp_path / "parts", task, **more))
    assert "resumed at step 2" in parts.metrics["notes"]
    for name in ("model.safetensors", "weight_net.safetensors"):
        found = [find_checkpoint(run.out, which="last") / name for run in (parts, whole)]
        assert found[0].read_bytes() == found[1].read_bytes()
    assert parts.metrics["test"] == whole.metrics["test"]
    lines = (tmp_path / "whole/history.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert sum("meta_norm" in row for row in rows) == 3
    test = whole.metrics["test"]
    assert test["num_questions"] == (15 if task == "qa-open" else 10)
    assert test["num_outside"] == (5 if task == "qa-open" else 0)
    assert "Answers" in write_report(tmp_path / "whole").read_text()


@pytest.mark.parametrize("task", ["qa-open", "qa-choice"])
def test_a_checkpoint_and_an_export_answer_as_the_run_did(
    task: str, shards: Path, tmp_path: Path
) -> None:
    result = train(config(shards, tmp_path / "run", task))
    found = tmp_path / "eval.json"
    where = Measured(checkpoint=result.out, shards=str(shards))
    run_eval(where, protocol="own", out=str(found))
    measured = json.loads(found.read_text())
    assert measured["answers"] == result.metrics["test"]["answers"]
    assert measured["by_type"] == result.metrics["test"]["by_type"]
    run_export(result.out, out=str(tmp_path / "export"), overwrite=False)
    exported = Measured(checkpoint=str(tmp_path / "export"), shards=str(shards))
    run_eval(exported, protocol="own", out=str(found))
    assert json.loads(found.read_text()) == measured
    model, _ = load_model(str(tmp_path / "export"))
    assert model.answer_head is not None
    assert model.answer_head.config.kind == task
    if task == "qa-open":
        known = {same_text(a) for a in model.answer_head.config.answers}
        assert "red" in known


def test_settings_that_do_not_fit_questions_are_refused(shards: Path, tmp_path: Path) -> None:
    for wrong in ({"batches": "by-concept"}, {"human_share": 0.5}):
        with pytest.raises(InputError, match="--task qa-open visits questions"):
            train(config(shards, tmp_path / "run", "qa-open", **wrong))
    with pytest.raises(InputError, match="weights oracle needs the truth about answers"):
        train(config(shards, tmp_path / "run", "qa-open", weights="oracle"))


def test_other_videos_are_never_the_clips_own(shards: Path) -> None:
    index = read_index(str(shards), "test")
    for video in ("other", "none"):
        task = QaOpen(TaskConfig(name="qa-open", video=video))
        visits = loader(task, shards, "test")
        for row in range(index.num_clips):
            shown, own = visits.clips.shown(row), visits.clips.video(row)
            assert not np.array_equal(shown, own)
            assert bool(shown.any()) == (video == "other")


def test_arms_are_compared_by_their_answers(shards: Path, tmp_path: Path) -> None:
    common = {"task": "qa-choice", "steps": 4, "batch_size": 6, "num_frames": 2, "meta_every": 2}
    content = {
        "shards": str(shards),
        "seeds": [0, 1],
        "baseline": "plain",
        "common": common,
        "arms": {"plain": {"weights": "none"}, "mama": {}},
    }
    (tmp_path / "arms.json").write_text(json.dumps(content))
    run_compare(str(tmp_path / "arms.json"), out=str(tmp_path / "out"), jobs=1)
    found = json.loads((tmp_path / "out/comparison.json").read_text())
    accs = [
        json.loads(path.read_text())["test"]["answers"]["acc"]
        for path in sorted((tmp_path / "out").glob("**/metrics.json"))
    ]
    assert len(accs) == 4
    text = (tmp_path / "out/comparison.md").read_text()
    assert "acc %" in text
    assert "R@1" not in text.split("DSL")[0]
    assert set(found) >= {"plain", "mama"}
