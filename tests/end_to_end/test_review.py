"""60 clips that a person has reviewed become the meta split, and training learns V from them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mama_augment.cli import app
from mama_augment.core.store.audit import audit
from mama_augment.core.store.step_dir import StepDir
from mama_train.data.index import read_index
from tests.augment.people.review.pages import answer
from tests.augment.worlds import caption, clip, write_captions, write_clips
from tests.train.program import call

THINGS = ("dog", "cat", "horse", "bird", "fish")


def start(*words: str) -> tuple[subprocess.Popen[str], str, str]:
    """(process, address, token) of a review."""
    command = [str(Path(sys.executable).with_name("mama-augment")), "review", *words]
    process = subprocess.Popen(
        [*command, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"(http://127\.0\.0\.1:\d+)/\?token=(\S+)", line)
    assert found, line
    return process, found[1], found[2]


@pytest.mark.slow
def test_sixty_reviewed_clips_are_the_meta_split_that_training_uses(tmp_path: Path) -> None:
    rows = [clip(f"c{i:03d}", video=f"v{i}.mp4") for i in range(180)]
    captions = [caption(f"c{i:03d}", 0, f"a {THINGS[i % 5]} number {i}") for i in range(180)]
    world = write_clips(tmp_path / "clips", rows), write_captions(tmp_path / "cap", captions)
    reviews, shards = str(tmp_path / "reviews"), str(tmp_path / "shards")
    words = (*world, "--out", reviews, "--meta", "60")
    process, address, token = start(*words)
    accepted: dict[str, str] = {}
    try:
        for number in range(60):
            if number == 31:  # the machine goes down; what was answered is there
                process.kill()
                process.wait()
                process, address, token = start(*words)
            item = answer(address, f"/api/items/{number}", token=token)[1]
            assert item["verdict"] is None
            body: dict[str, str] = {"verdict": "accepted"}
            if number % 10 == 3:
                body = {"verdict": "rejected", "reason": "wrong"}
            elif number % 10 == 7:
                body = {"verdict": "edited", "text": f"edited {number}"}
            assert answer(address, f"/api/items/{number}/verdict", body, token=token)[0] == 200
            if body["verdict"] != "rejected":
                accepted[item["clip_id"]] = body.get("text", item["raw_text"])
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    ledger = audit(StepDir.open(reviews), deep=True)
    assert (ledger.num_ok, ledger.num_rejected, ledger.num_pending) == (54, 6, 0)

    sizes = ("--val-size", "0", "--test-size", "0")
    command = ["balance", *world, "--reviews", reviews, "--out", shards, "--cap", "inf", *sizes]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    meta = {
        row["clip_id"]: row["captions"][0]["text"]
        for table in StepDir.open(shards).tables()
        for row in table.to_pylist()
        if row["split"] == "meta"
    }
    assert meta == accepted

    run = ("run", shards, "--out", str(tmp_path / "run"), "--steps", "3", "--batch-size", "8")
    assert call(*run, "--num-frames", "2", "--no-tensorboard") == 0
    index = read_index(shards, "meta")
    assert index.num_captions == len(accepted)
    lines = (tmp_path / "run/history.jsonl").read_text().splitlines()
    losses = [step["meta_loss"] for step in map(json.loads, lines) if "meta_loss" in step]
    assert losses
    assert all(loss > 0 for loss in losses), "V learns from the reviewed rows"
