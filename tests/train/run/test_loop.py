"""Whole runs on small shards: completion, checkpoints, resuming, what is skipped and said."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from mama_train.config import TrainConfig
from mama_train.data.index import read_concepts, read_index
from mama_train.data.rows import ClipRows
from mama_train.data.source import BatchSource
from mama_train.measure.evaluate import evaluate
from mama_train.report.page import training_sections, write_report
from mama_train.run import checkpoint, step
from mama_train.run.history import read_history
from mama_train.run.loop import NonFiniteLossError, train
from mama_train.run.optim import clip_gradient
from mama_train.run.setup import prepare
from mama_train.run.step import Stepper
from mama_train.run.watch import Watch
from mama_train.start import model as start_model
from mama_train.start.build import build, build_from_checkpoint
from tests.train.shards_helper import write_shards

SIZES = {"train": 32, "meta": 16, "val": 16, "test": 16}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("shards"), SIZES)


def config(shards: Path, out: Path, **changes: Any) -> TrainConfig:
    fields: dict[str, Any] = {
        "shards": str(shards),
        "out": str(out),
        "steps": 8,
        "batch_size": 8,
        "tensorboard": False,
        "num_frames": 3,
        "eval_every": 4,
        "save_every": 4,
    }
    return TrainConfig.of(**fields | changes)


def evals_of(run: Path) -> list[dict[str, Any]]:
    return [r for r in read_history(run) if r["kind"] == "eval"]


def steps_of(run: Path) -> list[dict[str, Any]]:
    return [r for r in read_history(run) if r["kind"] == "step"]


def test_a_run_leaves_a_checkpoint_that_reloads_to_the_same_numbers(
    shards: Path, tmp_path: Path
) -> None:
    result = train(config(shards, tmp_path / "run"))
    stored = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert stored == result.metrics
    assert stored["weights"] == "mlp-meta"
    model, tokenizer = build_from_checkpoint(checkpoint.find_checkpoint(str(tmp_path / "run")))
    index = read_index(str(shards), "test")
    clips = BatchSource(ClipRows(index), model.frame_spec, tokenizer, {}, cache=False)
    assert evaluate(model, clips, read_concepts(str(shards))) == stored["test"]
    steps = steps_of(tmp_path / "run")
    assert [r["step"] for r in steps] == list(range(1, 9))
    assert [r["step"] for r in steps if r.get("meta_norm", 0) > 0] == [1, 5]


def test_the_meta_step_moves_the_weight_net(shards: Path, tmp_path: Path) -> None:
    train(config(shards, tmp_path / "run", meta_every=1))
    net = checkpoint.load_net(checkpoint.find_checkpoint(str(tmp_path / "run"), which="last"))
    assert net is not None
    # It starts with the same weight for every loss, and only the meta step teaches it another.
    weight_B = net(torch.tensor([0.0, 2.0, 5.0])).detach()
    assert float(weight_B.max() - weight_B.min()) > 1e-4


def test_training_learns(shards: Path, tmp_path: Path) -> None:
    result = train(config(shards, tmp_path / "run", steps=30, eval_every=15, batch_size=16))
    assert result.metrics["test"]["text_to_video"]["R@1"] > 12  # chance is 6 %
    losses = [r["loss"] for r in steps_of(tmp_path / "run")]
    assert sum(losses[-8:]) < 0.7 * sum(losses[:8])
    html = write_report(tmp_path / "run").read_text()
    for section in training_sections(tmp_path / "run"):
        assert section.title in html
        assert "http" not in section.html.replace("http://www.w3.org", "")
    assert html.count("<svg") == 6
    assert (
        f"State of V over the last tenth of the run: {result.metrics['weight_net']['state']}"
        in html
    )
    assert "<script" not in html


def press_ctrl_c(monkeypatch: pytest.MonkeyPatch, *, at: int, times: int = 1) -> None:
    """SIGINT in the middle of a step: V has moved, and the meta position; the model has not."""
    calls: list[None] = []

    def interrupted(*args: Any) -> float:
        calls.append(None)
        if len(calls) == at:
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)
        return clip_gradient(*args)

    monkeypatch.setattr(step, "clip_gradient", interrupted)


@pytest.mark.parametrize(
    "changes",
    [
        {"meta_every": 1, "margin_rule": "running"},
        {
            "ema_decay": 0.9,
            "meta_every": 2,
            "lagged": True,
            "schedule": "linear",
            "layer_decay": 0.8,
            "num_workers": 2,
            "cache_bytes": 0,
        },
    ],
)
@pytest.mark.parametrize(("times", "stopped_at"), [(1, 5), (2, 4)])
def test_interrupted_and_resumed_is_the_undisturbed_run(
    shards: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    times: int,
    stopped_at: int,
) -> None:
    """One Ctrl-C ends and saves the step; a second one gives up what is not saved."""
    train(config(shards, tmp_path / "whole", **changes))
    parts = config(shards, tmp_path / "parts", **changes)
    press_ctrl_c(monkeypatch, at=5, times=times)
    with pytest.raises(KeyboardInterrupt):
        train(parts)
    monkeypatch.undo()
    last = checkpoint.find_checkpoint(parts.out, which="last")
    assert checkpoint.load_progress(last)[0].step == stopped_at
    train(parts)
    assert read_history(tmp_path / "parts") == read_history(tmp_path / "whole")
    metrics = [json.loads((tmp_path / r / "metrics.json").read_text()) for r in ("parts", "whole")]
    assert metrics[0]["test"] == metrics[1]["test"]


def test_a_run_with_dropout_resumes_to_the_same_draws(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_dropout(*args: Any, **words: Any) -> Any:
        model: Any
        model, *others = build(*args, **words)
        for layer in model.text_model.encoder.layers:
            layer.mlp.register_forward_hook(lambda m, _, out: F.dropout(out, 0.2, m.training))
        return model, *others

    train(config(shards, tmp_path / "without", meta_every=2))
    monkeypatch.setattr(start_model, "build", with_dropout)
    train(config(shards, tmp_path / "whole", meta_every=2))
    parts = config(shards, tmp_path / "parts", meta_every=2)
    press_ctrl_c(monkeypatch, at=5)
    with pytest.raises(KeyboardInterrupt):
        train(parts)
    monkeypatch.setattr(step, "clip_gradient", clip_gradient)
    train(parts)
    whole = read_history(tmp_path / "whole")
    assert read_history(tmp_path / "parts") == whole
    assert whole != read_history(tmp_path / "without")


def test_without_a_step_saved_since_resuming_redoes_it(shards: Path, tmp_path: Path) -> None:
    """As after a SIGKILL: rows of lost steps are dropped and written again."""
    run = tmp_path / "run"
    train(config(shards, run))
    whole = read_history(run)
    last = checkpoint.find_checkpoint(str(run), which="last")
    assert json.loads((last / "run.json").read_text())["progress"]["step"] == 8
    (run / "metrics.json").unlink()
    with (run / "history.jsonl").open("a") as stream:
        stream.write(json.dumps({"kind": "step", "step": 9, "loss": 1.0}) + '\n{"kind": "st')
    train(config(shards, run))
    assert read_history(run) == whole


class Notes(Watch):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_resuming_a_finished_run_leaves_it_as_it_is(shards: Path, tmp_path: Path) -> None:
    run, watch = tmp_path / "run", Notes()
    first = train(config(shards, run, steps=2))
    assert "resumed" not in " ".join(first.metrics["notes"])
    before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in run.rglob("*") if p.is_file()}
    assert train(config(shards, run, steps=2), watch=watch) == first
    assert "the run is finished (step 2); it is left as it is" in watch.notes
    after = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in run.rglob("*") if p.is_file()}
    assert after == before


def test_a_finished_run_can_be_lengthened(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its steps stay; those that follow are on the schedule of the longer run."""
    run = tmp_path / "run"
    changes = {"meta_every": 2, "warmup": 2.0}
    train(config(shards, run, steps=4, **changes))
    short = read_history(run)
    train(config(shards, tmp_path / "long", **changes))
    press_ctrl_c(monkeypatch, at=3)
    with pytest.raises(KeyboardInterrupt):
        train(config(shards, run, **changes))
    monkeypatch.undo()
    assert not (run / "metrics.json").exists()
    with pytest.raises(ValueError, match=r"steps was 8, now 9\. Give"):  # not finished yet
        train(config(shards, run, steps=9, **changes))
    found = train(config(shards, run, **changes))
    assert found.metrics["num_steps"] == 8
    assert read_history(run)[: len(short)] == short
    rates, expected = ([r["lr"] for r in steps_of(path)] for path in (run, tmp_path / "long"))
    assert rates[4:] == expected[4:]
    assert rates[3] < expected[3]
    with pytest.raises(ValueError, match="run of 8 steps, which can be lengthened, but not cut"):
        train(config(shards, run, steps=6, **changes))
    with pytest.raises(ValueError, match="steps was 8, now 9; batch_size was 8, now 9"):
        train(config(shards, run, steps=9, batch_size=9, **changes))
    assert train(config(shards, run, **changes)) == found


def test_a_folder_keeps_the_last_checkpoints_and_the_best(shards: Path, tmp_path: Path) -> None:
    for keep, expected in ((1, [8]), (3, [6, 7, 8]), (99, list(range(1, 9)))):
        settings = config(shards, tmp_path / str(keep), keep=keep, save_every=1)
        train(settings)
        folder = settings.run_folder() / "checkpoints"
        best = checkpoint.load_progress(folder / "best")[0].step
        steps = sorted(int(path.name.split("-")[1]) for path in folder.glob("step-*"))
        assert sorted({*expected, best}) == steps
        assert checkpoint.load_progress(folder / "last")[0].step == 8
    # An older one, where the newer ones are gone, goes on to the same end.
    whole = read_history(settings.run_folder())
    for name in ("last", "step-00000008", "step-00000007"):
        path = folder / name
        path.unlink() if path.is_symlink() else shutil.rmtree(path)
    (settings.run_folder() / "metrics.json").unlink()
    train(settings)
    assert read_history(settings.run_folder()) == whole


def test_time_and_samples_of_all_parts_count(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = config(shards, tmp_path / "run")
    press_ctrl_c(monkeypatch, at=5)
    with pytest.raises(KeyboardInterrupt):
        train(run)
    monkeypatch.undo()
    path = checkpoint.find_checkpoint(run.out, which="last") / "run.json"
    content = json.loads(path.read_text())
    assert 0 < content["progress"]["seconds"] < 100
    content["progress"]["seconds"] = 1000
    path.write_text(json.dumps(content))
    metrics = train(run, resume=True, overwrite=True).metrics
    assert 1000 < metrics["seconds"] < 1100
    assert metrics["samples_per_second"] == round(8 * 8 / metrics["seconds"], 1)


def test_a_kill_while_saving_leaves_a_complete_last_checkpoint(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step is saved twice; at every call that changes the folder, the process may end."""
    run = tmp_path / "run"
    train(config(shards, run, steps=2))
    setup = prepare(config(shards, run, steps=2))
    moments = []

    def checked(change: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **words: Any) -> Any:
            moments.append(checkpoint.newest_complete(run))
            assert (run / "checkpoints" / "last" / "training_state.safetensors").is_file()
            assert (run / "checkpoints" / "best" / "model.safetensors").is_file()
            return change(*args, **words)

        return call

    for owner, name in ((os, "replace"), (os, "rename"), (shutil, "rmtree")):
        monkeypatch.setattr(owner, name, checked(getattr(owner, name)))
    for best in (False, True):
        checkpoint.save(run, setup.trainee, setup.progress, setup.config, best=best)
    monkeypatch.undo()
    assert None not in moments
    assert len(list((run / "checkpoints").iterdir())) == 3


def test_resuming_never_deletes_a_run(shards: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = config(shards, run, steps=4, eval_every=2, save_every=2)
    train(settings)
    whole = read_history(run)
    folder = run / "checkpoints"
    (run / "metrics.json").unlink()
    (folder / "last").unlink()
    (folder / "last").symlink_to("step-00000099")
    assert "last is gone" in " ".join(train(settings).metrics["notes"])
    assert read_history(run) == whole
    for path in folder.glob("step-*/run.json"):
        path.unlink()
    files = sorted(run.rglob("*"))
    with pytest.raises(ValueError, match=rf"'{run}' holds a run but no complete checkpoint"):
        train(settings)
    shutil.rmtree(folder)
    with pytest.raises(ValueError, match="--overwrite"):
        train(settings)
    assert sorted(run.rglob("*")) == [f for f in files if folder not in (f, *f.parents)]


def test_stopped_before_the_first_checkpoint_starts_and_says_so(
    shards: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    settings = config(shards, run, steps=2)
    prepare(settings)
    (run / "checkpoints" / ".step-00000001-0123abcd").mkdir(parents=True)
    assert "step 0 again" in " ".join(train(settings).metrics["notes"])
    assert len(steps_of(run)) == 2


def test_one_clip_is_too_few_to_train_on_or_to_meta_learn_from(tmp_path: Path) -> None:
    one = write_shards(tmp_path / "one", {"train": 1, "meta": 8})
    with pytest.raises(ValueError, match="all of one clip"):
        train(config(one, tmp_path / "run"))
    shards = write_shards(tmp_path / "shards", {"train": 8, "meta": 1})
    result = train(config(shards, tmp_path / "run", steps=1))
    assert result.metrics["weights"] == "none"
    assert "the meta split has one clip" in " ".join(result.metrics["notes"])


def test_interrupted_with_carried_visits_is_the_undisturbed_run(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 captions in batches of 9, 16 in meta batches of 5: rests that open the next epochs."""
    changes = {
        "batch_size": 9,
        "meta_batch_size": 5,
        "meta_every": 1,
        "steps": 16,
        "batches": "by-concept",
    }
    train(config(shards, tmp_path / "whole", **changes))
    press_ctrl_c(monkeypatch, at=10)
    with pytest.raises(KeyboardInterrupt):
        train(config(shards, tmp_path / "parts", **changes))
    monkeypatch.undo()
    train(config(shards, tmp_path / "parts", **changes))
    whole = read_history(tmp_path / "whole")
    assert read_history(tmp_path / "parts") == whole
    assert {len(row["points"]) for row in whole if row["kind"] == "step"} == {9}


def test_what_the_model_can_do_before_training_is_in_its_curve(
    shards: Path, tmp_path: Path
) -> None:
    """As the model that `build` makes does, and without a part in what is best."""
    settings = config(shards, tmp_path / "run", steps=4)
    model = prepare(settings).trainee.model
    metrics = train(settings).metrics
    evals = evals_of(tmp_path / "run")
    assert [row["step"] for row in evals] == [0, 4]
    tokenizer = build_from_checkpoint(checkpoint.find_checkpoint(settings.out))[1]
    index = read_index(str(shards), "val")
    clips = BatchSource(ClipRows(index), model.frame_spec, tokenizer, {}, cache=False)
    expected = evaluate(model, clips, read_concepts(str(shards)))
    assert metrics["val_at_start"] == expected
    assert evals[0] == {"kind": "eval", "split": "val", "step": 0, **expected}
    assert metrics["best_step"] == 4


def test_more_shards_are_evaluated_by_name(shards: Path, tmp_path: Path) -> None:
    others = [write_shards(tmp_path / n, {"train": 4, "test": 9}, seed=3) for n in ("a/x", "b/y")]
    again = tmp_path / "c" / "y"
    shutil.copytree(others[1], again)
    settings = config(
        shards, tmp_path / "run", steps=2, eval_shards=[str(shards), *map(str, [*others, again])]
    )
    metrics = train(settings).metrics
    found = metrics["eval_shards"]
    assert list(found) == [shards.name, "x", str(others[1]), str(again)]
    assert found[shards.name] == metrics["test"]
    assert found["x"]["num_texts"] == 9
    assert found[str(again)] == found[str(others[1])]
    assert "test of x, text to video" in write_report(tmp_path / "run").read_text()
    assert train(settings).metrics == metrics
    lacking = write_shards(tmp_path / "lacking", {"train": 4})
    for uri, message in ((str(lacking), "no test split"), (str(tmp_path / "none"), "none")):
        with pytest.raises(ValueError, match=message):
            train(config(shards, tmp_path / "other", eval_shards=[uri]))
    assert not (tmp_path / "other" / "config.json").exists()


def test_the_test_split_does_not_touch_training(shards: Path, tmp_path: Path) -> None:
    """Leaking test clips into training fails here: other test clips, same training."""
    other = write_shards(tmp_path / "other", SIZES | {"test": 7})
    for name, where in (("a", shards), ("b", other)):
        train(config(where, tmp_path / name))
    assert read_history(tmp_path / "a") == read_history(tmp_path / "b")


def test_missing_splits_are_said(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", {"train": 5}, captions_per_clip=1)
    result = train(config(shards, tmp_path / "run", batch_size=32, steps=2))
    assert result.metrics["weights"] == "none"
    notes = " ".join(result.metrics["notes"])
    assert all(word in notes for word in ("no meta split", "no val split", "no test split"))
    assert result.metrics["test"] is None
    write_report(tmp_path / "run")


def test_sources_choose_the_captions(shards: Path, tmp_path: Path) -> None:
    index = read_index(str(shards), "train")
    assert (index.num_captions, index.only("human").num_captions) == (64, 32)
    train(config(shards, tmp_path / "run", sources="human", steps=4))
    only_human = write_shards(tmp_path / "human", {"train": 4}, captions_per_clip=1)
    with pytest.raises(ValueError, match="generated"):
        train(config(only_human, tmp_path / "none", sources="generated"))


@pytest.mark.parametrize(
    ("sources", "captions_per_clip", "missing"),
    [("human", 2, "generated"), ("generated", 2, "human"), ("all", 1, "generated")],
)
def test_a_share_of_a_source_that_is_missing_is_named(
    tmp_path: Path, sources: Any, captions_per_clip: int, missing: str
) -> None:
    shards = write_shards(tmp_path / "shards", {"train": 4}, captions_per_clip=captions_per_clip)
    with pytest.raises(ValueError, match=rf"--sources {sources}\) is {missing}"):
        train(config(shards, tmp_path / "run", sources=sources, human_share=0.5))
    assert not (tmp_path / "run").exists()
    everything = 1.0 if missing == "generated" else 0.0
    train(config(shards, tmp_path / "run", sources=sources, human_share=everything, steps=1))


def test_a_used_run_folder_is_refused(shards: Path, tmp_path: Path) -> None:
    train(config(shards, tmp_path / "run", steps=2))
    with pytest.raises(ValueError, match=r"margin was None, now 0\.1\. Give .* --overwrite"):
        train(config(shards, tmp_path / "run", steps=2, margin=0.1))
    path = tmp_path / "run" / "config.json"
    content = json.loads(path.read_text())
    del content["config"]["weight_output"]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="earlier version, without the settings weight_output"):
        train(config(shards, tmp_path / "run", steps=2))
    train(config(shards, tmp_path / "run", steps=3), overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(ValueError, match="not a run"):
        train(config(shards, tmp_path / "mine"), overwrite=True)
    assert (tmp_path / "mine" / "thesis.tex").exists()


def test_a_run_folder_has_one_writer_until_that_is_dead(shards: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [
        sys.executable, "-c", "from mama_train.cli import main; main()",
        "run", str(shards), "--out", str(run), "--steps", "100000", "--batch-size", "8",
        "--set=num_frames=3", "--set=tensorboard=false", "--set=save_every=1",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        while not steps_of(run):
            assert process.poll() is None
            time.sleep(0.02)
        for overwrite in (True, False):
            with pytest.raises(ValueError, match=f"process {process.pid} .* writes to '{run}'"):
                train(config(shards, run, steps=2), overwrite=overwrite)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    train(config(shards, run, steps=2), overwrite=True)
    assert [r["step"] for r in steps_of(run)] == [1, 2]
    assert not (run / ".lock").exists()


@pytest.mark.parametrize(
    "weights", ["none", "focal", "self-paced", "inverse-frequency", "mlp-joint"]
)
def test_every_weighting_trains(shards: Path, tmp_path: Path, weights: Any) -> None:
    result = train(config(shards, tmp_path / "run", weights=weights, steps=3))
    assert result.metrics["weights"] == weights


@pytest.mark.parametrize(
    "changes",
    [
        {"margin_rule": "agreement", "margin_warmup": 0.5},
        {"margin_rule": "running", "margin_nats": 0.6, "margin_region": "acute"},
    ],
)
def test_margins_by_rule_train(tmp_path: Path, changes: dict[str, Any]) -> None:
    shards = write_shards(tmp_path / "scored", SIZES, with_agreement=True)
    train(config(shards, tmp_path / "whole", steps=6, save_every=3, **changes))
    whole = read_history(tmp_path / "whole")
    run = tmp_path / "whole"
    last = (run / "checkpoints" / "last").resolve()
    progress = json.loads((last / "run.json").read_text())["progress"]
    assert 0 < progress["running_angle"] < 3.2
    assert all(0 < r["positive_angle"] < 3.2 for r in whole if r["kind"] == "step")


def test_a_rule_by_agreement_needs_scores(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs an agreement score"):
        train(config(shards, tmp_path / "run", margin_rule="agreement"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"rows_per_pass": 3},
        {"gradient_checkpointing": True},
        {"meta_every": 3, "meta_batch_size": 4, "lagged": True},
    ],
)
def test_memory_and_speed_options_train(
    shards: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    train(config(shards, tmp_path / "plain", steps=3))
    train(config(shards, tmp_path / "run", steps=3, **changes))
    first, other = (steps_of(tmp_path / name) for name in ("plain", "run"))
    assert other[0]["loss"] == pytest.approx(first[0]["loss"], rel=1e-5)
    if "meta_every" not in changes:
        assert other[2]["loss"] == pytest.approx(first[2]["loss"], rel=1e-3)


@pytest.mark.parametrize(
    ("changes", "fixed"),
    [
        ({"freeze": "text", "freeze_logit_scale": True}, ("text_", "logit_scale")),
        ({"lock_image": True, "meta_layers": 1}, ("vision_model", "visual_projection")),
        ({"lock_image": True, "freeze": "text"}, ("vi", "text")),
        ({"lock_image": True, "rows_per_pass": 3, "ema_decay": 0.5}, ("vi",)),
        ({"freeze": "vision", "gradient_checkpointing": True}, ("vi",)),
    ],
)
def test_what_is_frozen_stays_as_it_was(
    shards: Path, tmp_path: Path, changes: dict[str, Any], fixed: tuple[str, ...]
) -> None:
    """In the checkpoint, in the optimizer, and over a stop."""
    settings = config(shards, tmp_path / "run", steps=3, meta_every=1, **changes)
    setup = prepare(settings)
    before = {n: p.detach().clone() for n, p in setup.trainee.model.named_parameters()}
    num = sum(len(group["params"]) for group in setup.trainee.optimizer.param_groups)
    assert num == sum(not name.startswith(fixed) for name in before)
    notes = " ".join(train(settings, overwrite=True).metrics["notes"])
    assert "frozen: " in notes
    after = dict(checkpoint.load_model(settings.out)[0].named_parameters())
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert not {name for name in moved if name.startswith(fixed)}


def test_nan_stops_with_the_clip_ids(shards: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(NonFiniteLossError, match=r"nonfinite\.json"):
        train(config(shards, run, lr=1e30, clip_norm=1e30, steps=8, weights="none"))
    found = json.loads((run / "nonfinite.json").read_text())
    assert found["bad_clips"]
    assert set(found["bad_clips"]) <= set(found["batch"])
    assert found["batch"][0].startswith("train-")
    assert len(steps_of(run)) == found["step"] > 0


@pytest.mark.parametrize(
    ("weights", "broken", "what"),
    [
        ("none", "last", "the gradient is"),
        ("mlp-joint", "weight net", "the gradient of the weight net is"),
        ("mlp-meta", "weight net", "the gradient of the weight net is"),
    ],
)
def test_a_gradient_that_is_not_finite_changes_nothing(
    shards: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    weights: Any,
    broken: str,
    what: str,
) -> None:
    """Finite losses can have a gradient that is none."""
    setup = prepare(config(shards, tmp_path / "run", weights=weights))
    _, batch = next(setup.train.batches())
    stepper = Stepper(setup)
    before = {n: p.clone() for n, p in setup.trainee.model.named_parameters()}
    net = [p.clone() for p in setup.trainee.net.parameters()]
    if broken == "last":
        monkeypatch.setattr(step, "clip_gradient", lambda *_: float("inf"))
    elif weights == "mlp-meta":
        nan = [torch.full_like(p, torch.nan) for p in setup.trainee.net.parameters()]
        outcome = dataclasses.make_dataclass("Outcome", ["theta_gradient"])(nan)
        monkeypatch.setattr(step, "meta_gradient", lambda *_, **__: outcome)
    else:
        for parameter in setup.trainee.net.parameters():
            parameter.register_hook(lambda grad: grad * torch.nan)
    with pytest.raises(NonFiniteLossError, match=what):
        stepper(batch, setup.progress)
    found = json.loads((tmp_path / "run" / "nonfinite.json").read_text())
    assert found["batch"] == list(batch.clip_ids)
    assert all(torch.equal(before[n], p) for n, p in setup.trainee.model.named_parameters())
    assert not setup.trainee.optimizer.state
    assert all(map(torch.equal, net, setup.trainee.net.parameters()))


@pytest.mark.slow
def test_killed_at_any_time_and_resumed_is_the_undisturbed_run(
    shards: Path, tmp_path: Path
) -> None:
    """SIGKILL, which leaves no chance to save, in the middle of everything."""
    changes = {"steps": 30, "save_every": 3, "eval_every": 5}
    train(config(shards, tmp_path / "whole", **changes))
    run = tmp_path / "killed"
    settings = [f"--set={k}={v}" for k, v in changes.items() if k != "steps"]
    command = [
        sys.executable, "-c", "from mama_train.cli import main; main()",
        "run", str(shards), "--out", str(run), "--steps", "30", "--batch-size", "8",
        "--set=num_frames=3", "--set=tensorboard=false", *settings,
    ]  # fmt: skip
    for wanted in (4, 13, 22):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while process.poll() is None and len(steps_of(run)) < wanted:
            time.sleep(0.02)
        process.kill()
        process.wait()
    assert len(steps_of(run)) >= 13
    train(config(shards, run, **changes))
    assert read_history(run) == read_history(tmp_path / "whole")
