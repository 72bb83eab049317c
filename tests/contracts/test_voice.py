"""What a person typed comes back as typed, in every command of both programs; and a full disk is
one message. Both through the programs' own entry points."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mama_augment import cli as augment
from mama_augment.core.shared import say
from mama_augment.core.shared.say import shown
from mama_train import cli as train
from tests.augment.numbered import write_numbered
from tests.augment.worlds import clip, write_clips

REPOSITORY = Path(__file__).resolve().parents[2]
MAINS = {
    "mama-augment": "from mama_augment.cli import main; main()",
    "mama-train": "from mama_train.cli import main; main()",
}
EVIL = "a[/red] [v2]\x1b[31m\n\u202eb"
"""Markup, a colour, a new line and a change of direction: all may stand in a file's name."""
NAME = EVIL.replace("/", "")
ACTED_UPON = re.compile(r"\x1b\[31m|\u202e|\[v2\]\s*\n\S*b(?![^\n])")

TYPED = [
    ("mama-augment", ["keyframes", EVIL, "--out", "out"]),
    ("mama-augment", ["keyframes", "x", "--out", "out", "--strategy", EVIL]),
    ("mama-augment", ["keyframes", "x", "--out", "out", "--config", EVIL]),
    ("mama-augment", ["inspect", EVIL]),
    ("mama-augment", ["caption", EVIL, "--out", "out", "--model", "llava-shapes"]),
    ("mama-augment", ["caption", "x", "--out", "out", "--model", EVIL + "/x"]),
    ("mama-augment", ["caption", "x", "--out", "out", "--grid", EVIL]),
    ("mama-augment", ["features", "x", "--out", "out", "--model", EVIL + "/x"]),
    ("mama-augment", ["export", EVIL, "--out", "out"]),
    ("mama-augment", ["review", EVIL, "--out", "out"]),
    ("mama-augment", ["plan", EVIL, "--budget", "5"]),
    ("mama-augment", ["balance", EVIL]),
    ("mama-augment", ["balance", "x", "--cap", EVIL]),
    ("mama-augment", ["report", EVIL]),
    ("mama-augment", ["validate", EVIL]),
    ("mama-augment", ["status", EVIL]),
    ("mama-augment", ["pipeline", EVIL]),
    ("mama-train", ["run", EVIL]),
    ("mama-train", ["run", "x", "--set", EVIL]),
    ("mama-train", ["run", "x", "--margin-kind", EVIL]),
    ("mama-train", ["eval", EVIL, "x"]),
    ("mama-train", ["embed", EVIL, "x", "--out", "out"]),
    ("mama-train", ["export", EVIL, "--out", "out"]),
    ("mama-train", ["compare", EVIL]),
]


@pytest.mark.parametrize(("program", "words"), TYPED)
def test_a_mistake_is_one_line_that_shows_what_was_typed(
    program: str,
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_clips(tmp_path / "x", [clip("c")])
    monkeypatch.setattr(sys, "argv", [program, *words])
    with pytest.raises(SystemExit) as ended:
        (augment if program == "mama-augment" else train).main()
    printed = capsys.readouterr()
    assert ended.value.code == 2
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert shown(EVIL) in printed.err
    assert not ACTED_UPON.search(printed.err)
    assert [path.name for path in tmp_path.iterdir()] == ["x"], "nothing is written"


def call(program: str, *words: object, cwd: Path | None = None) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a program in a process of its own."""
    result = subprocess.run(
        [sys.executable, "-c", MAINS[program], *map(str, words)],
        cwd=cwd or REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "4000"},
        capture_output=True,
        text=True,
    )
    return result.returncode, result.stdout, result.stderr


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of that name with a video of that name, whose text is that, too."""
    folder = tmp_path_factory.mktemp("world") / NAME
    folder.mkdir()
    rows: list[dict[str, object]] = []
    for number in range(12):
        write_numbered(folder / f"{NAME}{number}.mp4", 12, size=(64, 48))
        rows.append({"video": f"{NAME}{number}.mp4", "text": f"{NAME} says {number}"})
        rows[-1] |= {"trusted": True, "clip_id": f"{NAME}{number}"}
    rows.append({"video": f"{NAME}.gone.mp4", "text": NAME, "trusted": False, "clip_id": NAME})
    (folder / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def said(program: str, *words: object, exit_code: int = 0) -> str:
    """All that a command prints; none of it may act upon a terminal, or be a traceback."""
    code, out, err = call(program, *words)
    assert code == exit_code, err
    assert "Traceback" not in err
    assert not ACTED_UPON.search(out + err), out + err
    return out + err


def test_names_and_texts_come_back_as_they_are(evil: Path) -> None:
    clips, shards = evil / "clips", evil / "shards"
    line = ("keyframes", evil / "m.jsonl", "--out", clips, "-q", 2)
    assert f"output: {shown(clips)}\n" in said("mama-augment", *line, exit_code=1)
    text = said("mama-augment", "status", clips, exit_code=1)
    assert shown(NAME) in text.split("why items left")[1]
    text = said("mama-augment", "inspect", clips)
    assert f"contact sheet: {shown(clips)}/contact_sheet.png" in text
    assert f"{shown(NAME)} says 3" in text
    sizes = ("--meta-size", 2, "--val-size", 2, "--test-size", 2)
    text = said("mama-augment", "balance", clips, "--out", shards, "--num-concepts", 2, *sizes)
    assert f"output: {shown(shards)}\n" in text
    said("mama-augment", "validate", shards, "--clips", clips)
    said("mama-augment", "status", shards)
    plan = evil / "plan.parquet"
    text = said("mama-augment", "plan", clips, "--budget", 3, "--num-concepts", 2, "--out", plan)
    assert f"plan: {shown(plan)}; follow it" in text
    report = evil / "report.html"
    assert f"report: {shown(report)}\n" in said(
        "mama-augment", "report", clips, shards, "--out", report
    )


@pytest.mark.slow
def test_training_shows_names_as_they_are(evil: Path) -> None:
    if not (evil / "shards").exists():
        test_names_and_texts_come_back_as_they_are(evil)
    run, shards = evil / "run", evil / "shards"
    line = ("run", shards, "--out", run, "--steps", 2, "--batch-size", 4, "--num-frames", 2)
    text = said("mama-train", *line, "--weights", "none", "--no-tensorboard")
    assert f"model   {shown(run)}/checkpoints/best\n" in text
    assert f"report  {shown(run)}/report.html\n" in text
    for words, line_said in (
        (("eval", run, shards, "--out", evil / "m.json"), f"metrics  {shown(evil)}/m.json"),
        (("embed", run, shards, "--out", evil / "e.parquet"), f"  {shown(evil)}/e.parquet"),
        (("export", run, "--out", evil / "model"), f"model  {shown(evil)}/model"),
    ):
        assert line_said in said("mama-train", *words)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 kB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a small disk here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shapes world with clips and shards, on a disk that has room."""
    folder = tmp_path_factory.mktemp("made")
    steps = [
        ("shapes", folder / "world", "--num-videos", 24),
        ("keyframes", folder / "world/manifest.csv", "--out", folder / "clips"),
        ("balance", folder / "clips", "--out", folder / "shards", "--num-concepts", 3),
    ]
    for words in steps:
        assert call("mama-augment", *words)[0] == 0
    return folder


FULL = [
    ("mama-augment", ["shapes", "{disk}/world"], False),
    ("mama-augment", ["keyframes", "{made}/world/manifest.csv", "--out", "{disk}/clips"], True),
    ("mama-augment", ["balance", "{made}/clips", "--out", "{disk}/shards"], True),
    ("mama-augment", ["plan", "{made}/clips", "--budget", "9", "--out", "{disk}/plan"], False),
    ("mama-augment", ["report", "{made}/clips", "{made}/shards", "--out", "{disk}/r"], False),
    ("mama-augment", ["inspect", "{made}/clips", "--sheet", "{disk}/sheet.png"], False),
    ("mama-train", ["run", "{made}/shards", "--out", "{disk}/run", "--steps", "2"], True),
]


@pytest.mark.parametrize(("program", "words", "continues"), FULL)
def test_a_full_disk_is_one_message_and_exit_code_1(
    program: str, words: list[str], continues: bool, made: Path, small_disk: Path
) -> None:
    room = 8192 if continues else 0
    (small_disk / "filler").write_bytes(b"x" * (os.statvfs(small_disk).f_bavail * 4096 - room))
    line = [word.format(disk=small_disk, made=made) for word in words]
    code, out, err = call(program, *line)
    assert code == 1, out + err
    assert "Traceback" not in err
    (stopped,) = [line for line in err.splitlines() if line.startswith("stopped: ")]
    assert "No space left on device" in stopped
    assert ("continues" in stopped) == continues
    (small_disk / "filler").unlink()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["caption", "eval", "embed", "export", "compare"])
def test_a_full_disk_is_one_message_in_the_heavy_commands(
    command: str, made: Path, small_disk: Path
) -> None:
    (small_disk / "filler").write_bytes(b"x" * 122_880)
    run = made / "run"
    quick = ["--steps", "1", "--num-frames", "2", "--no-tensorboard", "--weights", "none"]
    if not run.exists() and command != "caption":
        assert call("mama-train", "run", made / "shards", "--out", run, *quick)[0] == 0
    comparison = made / "compare.toml"
    comparison.write_text(
        f'shards = "{made}/shards"\nseeds = [0]\nbaseline = "a"\n'
        "[common]\nsteps = 1\nnum_frames = 2\n[arms.a]\n[arms.b]\nmargin = 0.1\n"
    )
    words: dict[str, list[object]] = {
        "caption": [made / "clips", "--out", small_disk / "c", "--model", "llava-shapes"],
        "eval": [run, made / "shards", "--out", small_disk / "metrics.json"],
        "embed": [run, made / "shards", "--out", small_disk / "embeddings.parquet"],
        "export": [run, "--out", small_disk / "model"],
        "compare": [comparison, "--out", small_disk / "comparison"],
    }
    if command == "eval":  # the metrics are small
        (small_disk / "more").write_bytes(b"x" * (os.statvfs(small_disk).f_bavail * 4096))
    program = "mama-augment" if command == "caption" else "mama-train"
    code, out, err = call(program, command, *words[command])
    assert code == 1, out + err
    assert "Traceback" not in err, err
    assert sum(line.startswith("stopped: ") for line in err.splitlines()) == 1, err


@pytest.mark.slow
def test_a_full_disk_is_one_message_on_ray_too(made: Path, small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(b"x" * (os.statvfs(small_disk).f_bavail * 4096 - 16_384))
    line = ["keyframes", made / "world/manifest.csv", "--out", small_disk / "clips"]
    code, out, err = call("mama-augment", *line, "--runtime", "ray")
    assert (code, "Traceback" in err) == (1, False), out + err
    (stopped,) = [line for line in err.splitlines() if line.startswith("stopped: ")]
    assert "No space left on device" in stopped
    assert "Finished clips are kept" in stopped


def test_the_summary_is_one_line_of_json(made: Path) -> None:
    code, out, _ = call("mama-augment", "status", made / "clips", "--json")
    found = json.loads(out)
    assert (code, found["exit_code"], found["step"]) == (0, 0, "keyframes")
    assert found["in"] == found["ok"] + found["rejected"] + found["failed"] + found["pending"] > 0
    code, out, err = call("mama-augment", "balance", made / "clips", "--out", made / "shards",
                          "--num-concepts", 3, "--json", "--quiet")  # fmt: skip
    assert json.loads(out)["done"] == 0
    assert (code, err.replace("warning: ", "").count("━")) == (0, 0)


def test_quiet_says_nothing_of_what_went_well(made: Path) -> None:
    assert call("mama-augment", "validate", made / "shards", "--quiet") == (0, "", "")
    say.configure()
