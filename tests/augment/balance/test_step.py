"""`balance` end to end on real directories: accounting, leakage, bytes, resume, determinism."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from mama_augment.balance import step as balance
from mama_augment.balance.config import BalanceStep
from mama_augment.balance.keep.settings import BalanceConfig
from mama_augment.balance.source import frames
from mama_augment.balance.splits import SplitSizes
from mama_augment.cli import app
from mama_augment.concepts import ConceptConfig
from mama_augment.core.errors import InputError
from mama_augment.core.ledger import Reject
from mama_augment.core.schema import SHARDS, VIDEO_KEY
from mama_augment.core.store.audit import audit
from mama_augment.core.store.step_dir import StepDir
from mama_augment.people.report import build_report
from mama_augment.runtime import RuntimeConfig
from tests.augment.steps import run_balance
from tests.augment.worlds import caption, clip, write_captions, write_clips

COLOURS = ["red"] * 16 + ["blue"] * 3 + ["green"]


def world(path: Path, num_clips: int = 120) -> tuple[str, str]:
    """Zipf-like clips, two per video, with human and generated texts; every third is trusted."""
    rows, captions = [], []
    for i in range(num_clips):
        colour = COLOURS[i % len(COLOURS)]
        text = (f"a {colour} ball number {i} rolls", "human", i % 3 == 0)
        rows.append(clip(f"c{i:03d}", text, video=f"v{i // 2}.mp4"))
        captions += [caption(f"c{i:03d}", 0, f"the {colour} ball {i} bounces")]
        captions += [caption(f"c{i:03d}", 1, f"{colour} ball {i}" if i % 5 else None)]
    return write_clips(path / "clips", rows), write_captions(path / "captions", captions)


def make(path: Path, out: str = "shards", workers: int = 1, **options: Any) -> StepDir:
    clips, captions = (
        world(path)
        if not (path / "clips").exists()
        else (
            str(path / "clips"),
            str(path / "captions"),
        )
    )
    options.setdefault("concepts", vocabulary(path, "red", "blue", "green"))
    return run(clips, [captions], path / out, workers=workers, **options)


def run(clips: str, captions: list[str], out: Path, workers: int = 1, **options: Any) -> StepDir:
    seed = options.pop("seed", 0)
    step = BalanceStep(
        concepts=options.pop("concepts", ConceptConfig()),
        balance=BalanceConfig(seed=seed, **options.pop("balance", {})),
        **options,
    )
    return run_balance(clips, captions, str(out), step, RuntimeConfig(num_workers=workers))


def rows_of(step_dir: StepDir) -> list[dict[str, Any]]:
    return [row for table in step_dir.tables() for row in table.to_pylist()]


def rejects_of(step_dir: StepDir) -> list[Reject]:
    return [r for record in step_dir.records().values() for r in step_dir.read_rejects(record)]


def files_of(path: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()
    }


def vocabulary(path: Path, *phrases: str) -> ConceptConfig:
    (path / "phrases.txt").write_text("\n".join(phrases))
    return ConceptConfig(assigner="vocabulary", vocabulary=str(path / "phrases.txt"))


def test_every_text_ends_in_a_shard_or_in_rejects(tmp_path: Path) -> None:
    step_dir = make(tmp_path)
    ledger = audit(step_dir, deep=True)
    assert ledger.holds
    assert ledger.exit_code == 0
    num_texts = 120 + 120 + 96
    assert ledger.num_in == num_texts
    kept = [(r["clip_id"], c["text"]) for r in rows_of(step_dir) for c in r["captions"]]
    assert len(kept) == len(set(kept)) == ledger.num_ok
    identities = [r.id for r in rejects_of(step_dir)]
    assert len(identities) == len(set(identities)) == num_texts - len(kept)


def test_rows_have_the_schema_and_the_clips_own_frames(tmp_path: Path) -> None:
    step_dir = make(tmp_path)
    own = {
        row["clip_id"]: (row["frames"], row["frame_seconds"])
        for table in StepDir.open(str(tmp_path / "clips")).tables()
        for row in table.to_pylist()
    }
    for record in step_dir.records().values():
        table = step_dir.read_data(record)
        if table is None:
            continue
        assert table.schema.equals(SHARDS.insert(2, VIDEO_KEY))  # its clips share videos
        assert record.data_file
        for row in table.to_pylist():
            assert record.data_file.startswith(row["split"] + "/")
            assert (row["frames"], row["frame_seconds"]) == own[row["clip_id"]]


def test_no_video_is_on_both_sides_and_held_out_texts_are_trusted(tmp_path: Path) -> None:
    step_dir = make(tmp_path, sizes=SplitSizes(meta=6, val=5, test=7))
    video = {f"c{i:03d}": f"v{i // 2}" for i in range(120)}
    videos: dict[str, set[str]] = {}
    sizes: Counter[str] = Counter()
    for row in rows_of(step_dir):
        videos.setdefault(row["split"], set()).add(video[row["clip_id"]])
        sizes[row["split"]] += 1
        if row["split"] != "train":
            assert all(c["trusted"] and c["source"] == "human" for c in row["captions"])
    assert (sizes["meta"], sizes["val"], sizes["test"]) == (6, 5, 7)
    splits = list(videos)
    for i, one in enumerate(splits):
        for other in splits[i + 1 :]:
            assert not videos[one] & videos[other]


def test_given_splits_are_kept_and_a_shared_video_does_not_leak(tmp_path: Path) -> None:
    def human(text: str, trusted: bool = True) -> tuple[str, str, bool]:
        return (text, "human", trusted)

    rows = [
        clip("a", human("red ball"), human("untrusted", False), video="x.mp4", split="test"),
        clip("b", human("blue ball"), video="x.mp4", split="train"),
        clip("c", human("green ball"), video="x.mp4"),
        clip("d", human("red cube"), video="y.mp4", split="train"),
        clip("e", human("red cone"), video="z.mp4", split="val"),
    ]
    clips = write_clips(tmp_path / "clips", rows)
    captions = write_captions(tmp_path / "captions", [caption("a", 0, "generated for test")])
    step_dir = run(clips, [captions], tmp_path / "out")
    found = {r["clip_id"]: (r["split"], len(r["captions"])) for r in rows_of(step_dir)}
    assert found == {"a": ("test", 1), "d": ("train", 1), "e": ("val", 1)}
    assert {(r.id, r.reason) for r in rejects_of(step_dir)} == {
        ("a|human|1", "split_reserved"),
        ("a|generated:tiny|0", "split_reserved"),
        ("b|human|0", "split_reserved"),
        ("c|human|0", "split_reserved"),
    }


def test_a_video_with_a_given_train_clip_is_not_drawn_for_another_split(tmp_path: Path) -> None:
    """Every video has one clip given as train; half of the videos have another clip without."""
    rows = []
    for i in range(40):
        text = (f"a red ball {i}", "human", True)
        rows.append(clip(f"t{i:02d}", text, video=f"v{i}.mp4", split="train"))
        rows.append(clip(f"n{i:02d}", text, video=f"v{i if i < 20 else 100 + i}.mp4"))
    clips = write_clips(tmp_path / "clips", rows)
    step_dir = run(clips, [], tmp_path / "out", sizes=SplitSizes(meta=6, val=6, test=6))
    found = {row["clip_id"]: row["split"] for row in rows_of(step_dir)}
    assert rejects_of(step_dir) == []
    assert all(found[f"t{i:02d}"] == "train" for i in range(40)), "splits that are given are kept"
    assert all(found[f"n{i:02d}"] == "train" for i in range(20)), "its video is in train"
    assert Counter(found[f"n{i}"] for i in range(20, 40)) == {
        "train": 2,
        "meta": 6,
        "val": 6,
        "test": 6,
    }


def test_a_share_is_of_the_trusted_clips(tmp_path: Path) -> None:
    """40 of 120 clips are trusted; the command takes rows as before and shares."""
    clips, captions = world(tmp_path)
    out = str(tmp_path / "out")
    sizes = ["--meta-size", "0.1", "--val-size", "5", "--test-size", "0"]
    result = CliRunner().invoke(app, ["balance", clips, captions, "--out", out, *sizes])
    assert result.exit_code == 0, result.output
    found = Counter(row["split"] for row in rows_of(StepDir.open(out)))
    assert (found["meta"], found["val"], found["test"]) == (4, 5, 0)
    share = 4 / sum(found.values())
    assert json.loads(Path(out, "stats.json").read_text())["splits"]["meta"]["share"] == share
    assert f"meta 4 clips ({share:.1%}; 4 captions)" in result.output
    config = StepDir.open(out).manifest.config["sizes"]
    assert json.dumps(config) == '{"meta": 0.1, "val": 5, "test": 0, "stratify": "uniform"}'


def test_a_given_test_split_without_trusted_texts_is_pointed_out(tmp_path: Path) -> None:
    rows = [clip(f"c{i}", f"a red ball {i}", split="test" if i < 3 else "train") for i in range(9)]
    run(write_clips(tmp_path / "clips", rows), [], tmp_path / "out")
    warnings = json.loads((tmp_path / "out/stats.json").read_text())["warnings"]
    assert any("3 of 3 clips of the test split" in w and "`trusted`" in w for w in warnings)


def test_no_clips_at_all_is_an_empty_set_not_a_crash(tmp_path: Path) -> None:
    step_dir = run(write_clips(tmp_path / "clips", []), [], tmp_path / "out")
    assert audit(step_dir).num_in == 0
    warnings = json.loads((tmp_path / "out/stats.json").read_text())["warnings"]
    assert any("train split is empty" in warning for warning in warnings)


def test_the_command_says_what_it_did_and_what_was_wrong(tmp_path: Path) -> None:
    clips, captions = world(tmp_path, num_clips=20)
    command = [sys.executable, "-c", "from mama_augment.cli import main; main()", "balance", clips]

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *words], capture_output=True, text=True)

    good = call(captions, "--out", str(tmp_path / "out"), "--concepts", "vocabulary")
    assert good.returncode == 0, good.stderr
    assert "effective number" in good.stdout
    assert audit(StepDir.open(str(tmp_path / "out"))).exit_code == 0
    wrong = call("--out", str(tmp_path / "b"), "--cap", "lots")
    assert (wrong.returncode, "'lots'" in wrong.stderr) == (2, True)
    swapped = call(clips, "--out", str(tmp_path / "b"))
    assert (swapped.returncode, "is given twice" in swapped.stderr) == (2, True)
    assert "Traceback" not in wrong.stderr + swapped.stderr


def test_weights_keep_every_text_and_say_how_often_to_visit_it(tmp_path: Path) -> None:
    rows = [clip(f"h{i}", f"a red ball {i}") for i in range(300)]
    rows += [clip(f"t{i}", f"a green cube {i}") for i in range(10)]
    clips = write_clips(tmp_path / "clips", rows, rows_per_unit=64)
    concepts = vocabulary(tmp_path, "red", "green")
    balance = {"keep_share": 0.2, "way": "weights"}
    step_dir = run(clips, [], tmp_path / "out", concepts=concepts, balance=balance)
    assert sum(len(r["captions"]) for r in rows_of(step_dir)) == 310
    probabilities = {
        r["clip_id"][0]: r["captions"][0]["keep_probability"] for r in rows_of(step_dir)
    }
    assert probabilities["t"] == 1
    assert probabilities["h"] == pytest.approx((62 - 10) / 300, rel=1e-3)
    counts = [c["num_after"] for c in json.loads((tmp_path / "out/concepts.json").read_text())]
    assert counts == [52, 10]


def test_a_dry_run_says_what_the_run_does_and_writes_nothing(tmp_path: Path) -> None:
    rows = [clip(f"h{i}", f"a red ball {i}") for i in range(300)]
    rows += [clip(f"t{i}", f"a green cube {i}") for i in range(60)]
    clips = write_clips(tmp_path / "clips", rows, rows_per_unit=64)
    (tmp_path / "phrases.txt").write_text("red\ngreen")
    out = tmp_path / "out"
    line = ["balance", clips, "--out", str(out), "--json"]
    line += ["--vocabulary", str(tmp_path / "phrases.txt")]
    dry = CliRunner().invoke(app, [*line, "--dry-run"])
    assert dry.exit_code == 0, dry.output
    assert not out.exists()
    said = json.loads(dry.stdout.splitlines()[-1])
    curve = said["keep"]["curve"]
    assert (said["texts"], curve[0]["share"]) == (360, 1)
    assert [p["effective_number"] for p in curve] == sorted(p["effective_number"] for p in curve)
    result = CliRunner().invoke(app, line)
    assert result.exit_code == 0, result.output
    keep = json.loads((out / "stats.json").read_text())["keep"]
    assert keep == said["keep"]
    assert 0.6 <= keep["share"] < 1
    kept = sum(len(r["captions"]) for r in rows_of(StepDir.open(str(out))))
    assert kept / 360 == pytest.approx(keep["share"], abs=0.1)


def test_captions_are_held_against_the_plan_that_asked_for_them(tmp_path: Path) -> None:
    rows = [clip(f"h{i}", f"a red ball {i}") for i in range(30)]
    rows += [clip(f"t{i}", f"a green cube {i}") for i in range(4)]
    clips = write_clips(tmp_path / "clips", rows)
    plan, phrases = str(tmp_path / "plan.parquet"), tmp_path / "phrases.txt"
    phrases.write_text("red\ngreen")
    command = ["plan", clips, "--budget", "8", "--out", plan, "--vocabulary", str(phrases)]
    assert CliRunner().invoke(app, command).exit_code == 0
    # Eight captions were expected to be of green; the captioner saw red in three of them.
    texts = ["green thing"] * 5 + ["red thing"] * 3
    made = [caption(f"t{i % 4}", i // 4, f"{text} {i}") for i, text in enumerate(texts)]
    captions = write_captions(tmp_path / "captions", made)
    out = tmp_path / "out"
    command = ["balance", clips, captions, "--out", str(out), "--plan", plan, "--cap", "none"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    forecast = json.loads((out / "stats.json").read_text())["forecast"]
    assert forecast["concepts"] == [
        {"name": "green", "expected": 8, "brought": 5},
        {"name": "red", "expected": 0, "brought": 3},
    ]
    assert forecast["share_met"] == 5 / 8
    assert "8 visits of new captions; they brought 8 to train, 62.5%" in result.output
    page = Path(build_report(str(tmp_path / "report.html"), clips, [captions], str(out)))
    told = page.read_text()
    assert "8 expected, 8 came; 62 % of the expected ones are met" in told
    assert '<th scope="row">green</th><td>8</td><td>5</td>' in told
    missing = str(tmp_path / "other.parquet")
    with pytest.raises(InputError, match=r"other\.concepts"):
        BalanceStep(plan=missing).manifest_config()


def test_lists_of_the_package_balance(tmp_path: Path) -> None:
    rows = [clip(f"c{i}", f"a man with a {'dog' if i % 3 else 'cat'} {i}") for i in range(60)]
    clips = write_clips(tmp_path / "clips", rows)
    line = ["balance", clips, "--out", str(tmp_path / "out"), "--vocabulary", "objects,scenes"]
    assert CliRunner().invoke(app, line).exit_code == 0
    concepts = json.loads((tmp_path / "out/concepts.json").read_text())
    assert {c["name"]: c["num_before"] for c in concepts if c["num_before"]} == {
        "dog": 40,
        "cat": 20,
    }
    assert CliRunner().invoke(app, line).exit_code == 0, "the same config is the same"


def test_one_video_that_holds_everything_stays_in_train(tmp_path: Path) -> None:
    rows = [clip(f"c{i:03d}", (f"a red ball {i}", "human", True), video="v") for i in range(200)]
    clips = write_clips(tmp_path / "clips", rows, rows_per_unit=64)
    step_dir = run(clips, [], tmp_path / "out", balance={"cap": float("inf")})
    assert Counter(r["split"] for r in rows_of(step_dir)) == {"train": 200}
    stats = json.loads((tmp_path / "out/stats.json").read_text())
    said = [w for w in stats["warnings"] if "one video may hold most" in w]
    assert [w.split(" split ")[0] for w in said] == ["the test", "the val", "the meta"]


def test_a_default_draw_leaves_train_most_of_its_clips(tmp_path: Path) -> None:
    """Half of the clips are in one video, the others in pairs."""
    rows = [
        clip(f"c{i:03d}", (f"a red ball {i}", "human", True), video="v" if i % 2 else f"w{i // 4}")
        for i in range(400)
    ]
    clips = write_clips(tmp_path / "clips", rows, rows_per_unit=64)
    step_dir = run(clips, [], tmp_path / "out", balance={"cap": float("inf")})
    found = Counter(r["split"] for r in rows_of(step_dir))
    assert found["train"] >= 0.8 * 400
    assert min(found["meta"], found["val"], found["test"]) >= 15


def test_an_empty_train_split_is_an_error_for_scripts(tmp_path: Path) -> None:
    rows = [clip(f"c{i}", (f"a red ball {i}", "human", True), split="test") for i in range(4)]
    clips = write_clips(tmp_path / "clips", rows)
    result = CliRunner().invoke(app, ["balance", clips, "--out", str(tmp_path / "out")])
    assert result.exit_code == 1, result.output
    assert "train split is empty" in result.output


def test_every_reason_is_said(tmp_path: Path) -> None:
    rows = [
        clip("mute"),
        clip("double", "A red  ball", "a red ball"),
        clip("blank", " ", "a red ball rolls"),
        clip("other", "a violin"),
    ]
    clips = write_clips(tmp_path / "clips", rows)
    captions = write_captions(
        tmp_path / "captions", [caption("lost", 0, "who am I"), caption("double", 0, None)]
    )
    step_dir = run(
        clips,
        [captions],
        tmp_path / "out",
        concepts=vocabulary(tmp_path, "ball"),
        balance={"unmatched": "drop"},
    )
    assert {(r.id, r.reason) for r in rejects_of(step_dir)} == {
        ("mute", "no_text"),
        ("double|human|1", "duplicate"),
        ("blank|human|0", "empty_text"),
        ("other|human|0", "unmatched"),
        ("lost|generated:tiny|0", "no_clip"),
    }
    assert audit(step_dir).num_in == 7
    assert audit(step_dir).exit_code == 0


def test_the_head_is_thinned_with_the_recorded_probability(tmp_path: Path) -> None:
    rows = [clip(f"h{i}", f"a red ball {i}") for i in range(300)]
    rows += [clip(f"t{i}", f"a green cube {i}") for i in range(10)]
    clips = write_clips(tmp_path / "clips", rows, rows_per_unit=64)
    step_dir = run(
        clips,
        [],
        tmp_path / "out",
        concepts=vocabulary(tmp_path, "red", "green"),
        balance={"cap": 30.0},
    )
    kept = rows_of(step_dir)
    assert {
        c["keep_probability"] for r in kept for c in r["captions"] if r["clip_id"][0] == "h"
    } == {0.1}
    assert sum(r["clip_id"].startswith("t") for r in kept) == 10
    concepts = json.loads((tmp_path / "out/concepts.json").read_text())
    assert [(c["name"], c["num_before"]) for c in concepts] == [("red", 300), ("green", 10)]
    # Binomial(300, 0.1): mean 30, standard deviation 5.2; five of them either way.
    assert 4 <= concepts[0]["num_after"] <= 56
    assert concepts[0]["num_after"] == sum(r["clip_id"].startswith("h") for r in kept)
    assert concepts[1]["num_after"] == 10


def test_the_caption_limit_keeps_the_rarer_concepts(tmp_path: Path) -> None:
    rows = [clip(f"h{i}", f"a red ball {i}") for i in range(40)]
    rows += [clip("both", "a red cone", "a green cone")]
    clips = write_clips(tmp_path / "clips", rows)
    step_dir = run(
        clips,
        [],
        tmp_path / "out",
        concepts=vocabulary(tmp_path, "red", "green"),
        balance={"cap": 20.0, "max_captions_per_clip": 1},
    )
    both = next(r for r in rows_of(step_dir) if r["clip_id"] == "both")
    assert [c["text"] for c in both["captions"]] == ["a green cone"]


def test_near_identical_texts_are_counted_flagged_and_dropped_on_request(tmp_path: Path) -> None:
    same = ["A man is cooking.", "the man cooking", "a MAN, cooking!"]
    rows = [clip(f"s{i:02d}", same[i % 3]) for i in range(30)]
    rows += [clip(f"o{i}", f"cooking, a man number {i}") for i in range(10)]
    clips = write_clips(tmp_path / "clips", rows)
    run(clips, [], tmp_path / "all", balance={"cap": float("inf")})
    stats = json.loads((tmp_path / "all/stats.json").read_text())
    found = stats["near_identical"]
    assert (found["num_texts"], found["num_distinct"], found["num_repeated"]) == (40, 11, 30)
    assert found["most_frequent"][0]["num_texts"] == 30
    assert any(
        "30 of 40" in warning and "--max-same-text" in warning for warning in stats["warnings"]
    )
    step_dir = run(clips, [], tmp_path / "few", balance={"cap": float("inf"), "max_same_text": 4})
    kept = [r["clip_id"] for r in rows_of(step_dir)]
    assert sum(c.startswith("s") for c in kept) == 4
    assert sum(c.startswith("o") for c in kept) == 10
    assert Counter(r.reason for r in rejects_of(step_dir)) == {"near_identical": 26}
    assert audit(step_dir).exit_code == 0


def test_same_seed_same_files_for_one_or_two_workers(tmp_path: Path) -> None:
    make(tmp_path, "one", shard_mb=1)
    make(tmp_path, "two", workers=2, shard_mb=1)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


def test_another_seed_draws_and_orders_differently(tmp_path: Path) -> None:
    one, two = make(tmp_path, "one", seed=1), make(tmp_path, "two", seed=2)
    assert [r["clip_id"] for r in rows_of(one)] != [r["clip_id"] for r in rows_of(two)]
    assert {r.id for r in rejects_of(one)} != {r.id for r in rejects_of(two)}


def test_a_killed_run_continues_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "whole")
    commit = StepDir.commit
    committed: list[str] = []

    def commit_then_die(self: StepDir, unit_id: str, *args: Any, **kwargs: Any) -> Any:
        if len(committed) == 2:
            raise KeyboardInterrupt
        committed.append(unit_id)
        return commit(self, unit_id, *args, **kwargs)

    monkeypatch.setattr(StepDir, "commit", commit_then_die)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, "killed")
    assert audit(StepDir.open(str(tmp_path / "killed"))).num_pending > 0
    monkeypatch.setattr(StepDir, "commit", commit)
    make(tmp_path, "killed")
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")


@pytest.mark.slow
def test_sigkill_at_any_time_and_the_rerun_makes_the_same_bytes(tmp_path: Path) -> None:
    draws = np.random.default_rng(1)
    rows = [clip(f"c{i:03d}", f"a red ball {i}") for i in range(80)]
    for row in rows:
        row["frames"] = [draws.bytes(300_000) for _ in row["frames"]]
    clips = write_clips(tmp_path / "clips", rows)
    (tmp_path / "phrases.txt").write_text("red\nball")

    def start(out: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", "from mama_augment.cli import main; main()", "balance"]
        command += [clips, "--out", str(tmp_path / out), "--shard-mb", "1", "--cap", "none"]
        command += ["--concepts", "vocabulary", "--vocabulary", str(tmp_path / "phrases.txt")]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    assert start("whole").wait(timeout=300) == 0
    kills = 0
    for num_units in (1, 7, 20):
        process = start("killed")
        units = tmp_path / "killed/units"
        while process.poll() is None:
            if len(list(units.rglob("*.json"))) >= num_units:
                process.kill()
        process.wait()
        kills += process.returncode == -9
    assert kills, "every run ended before it could be killed"
    assert start("killed").wait(timeout=300) == 0
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")


def test_a_finished_run_does_nothing_and_another_config_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "shards").rglob("*")}
    monkeypatch.setattr(balance, "decide", None)
    make(tmp_path)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "shards").rglob("*")} == before
    with pytest.raises(InputError, match="another config"):
        make(tmp_path, seed=5)


def test_an_unfinished_input_is_refused(tmp_path: Path) -> None:
    clips, captions = world(tmp_path)
    next((tmp_path / "captions" / "units").rglob("*.json")).unlink()
    with pytest.raises(InputError, match="pending"):
        run(clips, [captions], tmp_path / "out")


def test_three_captions_are_enough(tmp_path: Path) -> None:
    texts = ["a dog lies on a cot", "a rabbit stretches in the grass", "workers inspect a mirror"]
    clips = write_clips(tmp_path / "clips", [clip(f"c{i}", t) for i, t in enumerate(texts)])
    step_dir = run(clips, [], tmp_path / "out")
    assert sorted(r["captions"][0]["text"] for r in rows_of(step_dir)) == texts
    stats = json.loads((tmp_path / "out/stats.json").read_text())
    assert [w.split(" split ")[0] for w in stats["warnings"]] == ["the test", "the val", "the meta"]


def test_shards_are_cut_by_size_and_shuffled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "FILE_BYTES", 500_000)
    rows = [clip(f"c{i:03d}", f"a red ball {i}", num_frames=3) for i in range(90)]
    draws = np.random.default_rng(0)
    for row in rows:
        row["frames"] = [draws.bytes(30_000) for _ in row["frames"]]
    clips = write_clips(tmp_path / "clips", rows)
    step_dir = run(clips, [], tmp_path / "out", shard_mb=1, balance={"cap": float("inf")})
    train = sorted((tmp_path / "out/train").iterdir())
    assert len(train) == 8
    counts = [pq.read_metadata(path).num_rows for path in train]
    assert max(counts) - min(counts) <= 1
    order = [r["clip_id"] for r in rows_of(step_dir)]
    assert sorted(order) == [f"c{i:03d}" for i in range(90)] != order


def test_concepts_from_a_column(tmp_path: Path) -> None:
    field = pa.field("topic", pa.string())
    rows = [clip(f"c{i}", f"text {i}", topic="sport" if i % 2 else "music") for i in range(6)]
    clips = write_clips(tmp_path / "clips", rows, extra=[field])
    concepts = ConceptConfig(assigner="given", column="topic")
    step_dir = run(clips, [], tmp_path / "out", concepts=concepts)
    names = [c["name"] for c in json.loads((tmp_path / "out/concepts.json").read_text())]
    assert names == ["music", "sport"]
    for row in rows_of(step_dir):
        assert row["captions"][0]["concept_ids"] == [int(row["clip_id"][1:]) % 2]
    with pytest.raises(InputError, match="no such column"):
        run(clips, [], tmp_path / "b", concepts=ConceptConfig(assigner="given", column="nope"))


def test_the_dataset_card_loads_with_hugging_face_datasets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets", reason="the package `datasets` is not installed")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    step_dir = make(tmp_path, sizes=SplitSizes(meta=4, val=4, test=4))
    loaded = datasets.load_dataset(str(tmp_path / "shards"), cache_dir=str(tmp_path / "cache"))
    rows = rows_of(step_dir)
    assert {split: table.num_rows for split, table in loaded.items()} == Counter(
        row["split"] for row in rows
    )
    first = loaded["train"][0]
    same = next(row for row in rows if row["clip_id"] == first["clip_id"])
    assert first == same
    by_folder = datasets.load_dataset(
        "parquet", data_dir=str(tmp_path / "shards"), cache_dir=str(tmp_path / "cache2")
    )
    assert by_folder["train"].num_rows == loaded["train"].num_rows


def test_shares_write_the_shards_of_one_run(tmp_path: Path) -> None:
    rows = [clip(f"c{i:02d}", (f"text {i}", "human", i % 3 == 0)) for i in range(40)]
    clips = write_clips(tmp_path / "clips", rows)

    def run(out: str, *more: str) -> Result:
        options = ["--out", str(tmp_path / out), "--cap", "none", *more]
        return CliRunner().invoke(app, ["balance", clips, *options])

    assert run("whole").exit_code == 0
    for share in ("2/2", "1/2"):
        result = run("shared", "--share", share)
        assert result.exit_code == 0, result.output
        assert f"share {share}:" in result.output
    assert audit(StepDir.open(str(tmp_path / "shared")), deep=True).exit_code == 0
    files = [
        {p.relative_to(tmp_path / out): p.read_bytes() for p in (tmp_path / out).rglob("*.parquet")}
        for out in ("whole", "shared")
    ]
    assert files[0] == files[1]
    assert not list((tmp_path / "shared").glob(".*"))
