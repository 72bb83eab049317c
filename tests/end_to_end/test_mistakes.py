"""What people do wrong, by kind: exit code 2, one message that names the value, what is allowed and
the next step, and never a traceback. Nothing is written."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mama_augment.balance.config import BalanceStep
from mama_augment.balance.splits import SplitSizes
from mama_augment.cli import main as augment
from mama_augment.concepts import ConceptConfig
from mama_augment.runtime import RuntimeConfig
from tests.augment.numbered import write_numbered
from tests.augment.steps import run_balance
from tests.augment.worlds import caption, clip, write_captions, write_clips
from tests.train.program import call as train


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A person's folder: videos, a manifest, the output of each step, and odd files."""
    root = tmp_path_factory.mktemp("mistakes")
    (root / "videos").mkdir()
    write_numbered(root / "videos/a b.mp4", 20)
    rows = [
        clip(f"c{i}", (f"a red dog {i}", "human", i < 9), video=f"v{i}.mp4", topic=f"t{i % 3}")
        for i in range(12)
    ]
    import pyarrow as pa

    clips = write_clips(root / "clips", rows, 7, [pa.field("topic", pa.string())])
    write_captions(root / "captions", [caption(f"c{i}", 0, f"a dog {i}") for i in range(12)])
    (root / "words.txt").write_text("dog\n")
    concepts = ConceptConfig(assigner="vocabulary", vocabulary=str(root / "words.txt"))
    step = BalanceStep(concepts=concepts, sizes=SplitSizes(meta=2, val=2, test=2))
    run_balance(clips, [str(root / "captions")], str(root / "shards"), step, RuntimeConfig())
    for name in ("empty", "mine", "work"):
        (root / name).mkdir()
    (root / "mine/letter.txt").write_text("mine")
    (root / "notes.txt").write_text("not a manifest")
    (root / "broken.csv").write_text("video,start_seconds\na.mp4,soon\n")
    (root / "no_video.csv").write_text("file,text\na.mp4,a dog\n")
    (root / "twice.csv").write_text("video,video\na.mp4,b.mp4\n")
    (root / "backwards.csv").write_text("video,start_seconds,end_seconds\na.mp4,5,2\n")
    (root / "split.csv").write_text("video,split\na.mp4,training\n")
    (root / "same_id.csv").write_text("video,clip_id\na.mp4,x\nb.mp4,x\n")
    (root / "broken.jsonl").write_text('{"video": "a.mp4"\n')
    (root / "no_rows.csv").write_text("video\n")
    (root / "settings.toml").write_text("sede = 1\n")
    (root / "broken.toml").write_text("seed = = 1\n")
    (root / "prompt.txt").write_text("Describe {{ titel }} in a sentence.")
    (root / "model").mkdir()
    (root / "model/config.json").write_text(json.dumps({"model_type": "bert"}))
    (root / "not_a_plan.parquet").write_bytes(b"PAR1")
    return root


AUGMENT = {
    "videos: a path that is not there": ("keyframes videoz --out work/x", "videoz", "a glob"),
    "videos: a name with brackets": ("keyframes videos/[/b]/x --out work/x", "[/b]", "a folder"),
    "videos: an unquoted glob": ("keyframes a.mp4 b.mp4 c.mp4 --out work/x", "b.mp4", "quote"),
    "videos: a glob that matches nothing": (
        "keyframes videos/*.avi --out work/x",
        "*.avi",
        "a folder",
    ),
    "videos: an empty folder": ("keyframes empty --out work/x", "empty", ".mp4"),
    "videos: a text file": ("keyframes notes.txt --out work/x", "notes.txt", ".csv"),
    "videos: a step's output": ("keyframes clips --out work/x", "clips", "video"),
    "manifest: no column video": ("keyframes no_video.csv --out work/x", "no_video.csv", "video"),
    "manifest: a column twice": ("keyframes twice.csv --out work/x", "twice.csv", "video"),
    "manifest: a number that is none": ("keyframes broken.csv --out work/x", "soon", "are needed"),
    "manifest: a span backwards": ("keyframes backwards.csv --out work/x", "5", "end_seconds"),
    "manifest: an unknown split": ("keyframes split.csv --out work/x", "training", "train"),
    "manifest: an id on two videos": ("keyframes same_id.csv --out work/x", "'x'", "clip_id"),
    "manifest: broken JSON": ("keyframes broken.jsonl --out work/x", "broken.jsonl", "line 1"),
    "manifest: no rows": ("keyframes no_rows.csv --out work/x", "no_rows.csv", "row"),
    "keyframes: no --out": ("keyframes videos", "--out", "Missing"),
    "keyframes: an unknown strategy": (
        "keyframes videos --out work/x --strategy peeks",
        "peeks",
        "did you mean 'peaks'",
    ),
    "keyframes: no frames at all": ("keyframes videos --out work/x -q 0", "0", "above 0"),
    "keyframes: a word for a number": (
        "keyframes videos --out work/x --workers many",
        "many",
        "valid int",
    ),
    "keyframes: no workers": ("keyframes videos --out work/x --workers 0", "0", "at least 1"),
    "keyframes: an unknown runtime": (
        "keyframes videos --out work/x --runtime spark",
        "spark",
        "local, ray",
    ),
    "keyframes: a share that is none": (
        "keyframes videos --out work/x --share 9/8",
        "9/8",
        "2/8",
    ),
    "out: a folder of one's own": ("keyframes videos --out mine", "letter.txt", "--out"),
    "out: a file": ("keyframes videos --out notes.txt", "notes.txt", "directory"),
    "out: another step's": ("keyframes videos --out captions", "caption", "--out"),
    "option: misspelt": ("keyframes videos --outt work/x", "--outt", "--out"),
    "option: of another command": ("keyframes videos --out work/x --model llava", "--model", "No "),
    "command: misspelt": ("keyframe videos --out work/x", "keyframe", "keyframes"),
    "config: a file that is not there": (
        "keyframes videos --out work/x --config long-videoz",
        "long-videoz",
        "long-videos",
    ),
    "config: an unknown name in it": (
        "keyframes videos --out work/x --config settings.toml",
        "sede",
        "settings.toml",
    ),
    "config: not TOML": (
        "keyframes videos --out work/x --config broken.toml",
        "broken.toml",
        "line 1",
    ),
    "caption: videos for clips": ("caption videos --out work/x", "videos", "keyframes"),
    "caption: shards for clips": (
        "caption shards --model llava-shapes --out work/x",
        "shards",
        "keyframes",
    ),
    "caption: an unknown model": (
        "caption clips --model lava --out work/x",
        "lava",
        "llava",
    ),
    "caption: a folder without a model": (
        "caption clips --model empty --out work/x",
        "empty",
        "config.json",
    ),
    "caption: an unknown engine": (
        "caption clips --model llava-shapes --engine vlm --out work/x",
        "vlm",
        "did you mean 'vllm'",
    ),
    "caption: many captions without chance": (
        "caption clips --model llava-shapes -n 3 --temperature 0 --out work/x",
        "3",
        "raise the temperature",
    ),
    "caption: a grid that is none": (
        "caption clips --model llava-shapes --grid 3by4 --out work/x",
        "3by4",
        "3x4",
    ),
    "caption: an unknown column in the prompt": (
        "caption clips --model llava-shapes --prompt prompt.txt --out work/x",
        "titel",
        "column",
    ),
    "caption: a sample without a dry run": (
        "caption clips --model llava-shapes --sample --out work/x",
        "--sample",
        "--dry-run",
    ),
    "caption: a plan that is none": (
        "caption clips --model llava-shapes --plan not_a_plan.parquet --out work/x",
        "not_a_plan",
        "plan",
    ),
    "balance: captions without clips": (
        "balance captions --out work/x",
        "captions",
        "keyframes",
    ),
    "balance: a directory twice": ("balance clips clips --out work/x", "clips", "once"),
    "balance: videos for clips": ("balance videos --out work/x", "videos", "manifest.json"),
    "balance: shards for clips": ("balance shards --out work/x", "balance", "keyframes"),
    "balance: unknown concepts": (
        "balance clips --concepts topic --out work/x",
        "topic",
        "did you mean 'topics'",
    ),
    "balance: a vocabulary that is not there": (
        "balance clips --vocabulary words.text --out work/x",
        "words.text",
        "no such file",
    ),
    "balance: a column that is not there": (
        "balance clips --concepts given --concept-column topics --out work/x",
        "topics",
        "topic",
    ),
    "balance: a size that is none": (
        "balance clips --meta-size 1.5 --out work/x",
        "1.5",
        "a number of rows",
    ),
    "balance: a share above one": (
        "balance clips --keep-share 7 --out work/x",
        "7",
        "1",
    ),
    "balance: itself as its splits": (
        "balance clips --splits-from shards --out shards",
        "shards",
        "another --out",
    ),
    "balance: clips for reviews": (
        "balance clips --reviews clips --out work/x",
        "clips",
        "`mama-augment review`",
    ),
    "balance: least agreement without scores": (
        "balance clips --min-agreement 0.2 --out work/x",
        "--min-agreement",
        "--scores",
    ),
    "balance: changed settings": (
        "balance clips captions --vocabulary words.txt --seed 5 --out shards",
        "seed",
        "--overwrite",
    ),
    "plan: no budget": ("plan clips --out work/plan.parquet", "--budget", "Missing"),
    "plan: a budget of nothing": (
        "plan clips --budget 0 --out work/plan.parquet",
        "0",
        "at least",
    ),
    "export: clips": ("export clips --out work/x.csv", "keyframes", "captions or shards"),
    "export: an unknown format": (
        "export captions --format tsv --out work/x",
        "tsv",
        "csv",
    ),
    "export: media in a table": (
        "export captions --format csv --media frames --out work/x.csv",
        "frames",
        "webdataset",
    ),
    "export: rejected answers": (
        "export captions --clips clips --format sharegpt --status all --out work/x",
        "'all'",
        "jsonl",
    ),
    "export: a folder for a file": ("export captions --clips clips --out mine", "mine", "file"),
    "export: an unknown column": (
        "export captions --clips clips --columns topik --out work/x.jsonl",
        "topik",
        "topic",
    ),
    "export: frames from nowhere": (
        "export captions --format webdataset --out work/x",
        "captions",
        "--clips DIR",
    ),
    "review: captions alone": ("review captions --out work/x", "captions", "keyframes"),
    "review: a port that is none": (
        "review clips captions --port 99999 --out work/x",
        "99999",
        "give another",
    ),
    "review: nothing asked for": (
        "review clips captions --meta 0 --out work/x",
        "--meta",
        "give one",
    ),
    "review: shards for its output": (
        "review clips captions --out shards --port 0",
        "shards",
        "another --out",
    ),
    "features: an unknown model": (
        "features clips --model clip-b16 --out work/x",
        "clip-b16",
        "clip-b32",
    ),
    "features: a model of texts": (
        "features clips --model model --out work/x",
        "bert",
        "siglip",
    ),
    "score: clips for features": (
        "score clips --features clips --model model --out work/x",
        "model",
        "clip",
    ),
    "status: a folder without a step": ("status empty", "empty", "manifest.json"),
    "status: an unknown list": ("status clips --list reject", "reject", "did you mean 'rejected'"),
    "inspect: captions": ("inspect captions", "captions", "keyframes"),
    "report: no shards": ("report clips captions --out work/r.html", "balance", "exactly one"),
    "validate: clips": ("validate clips", "clips", "balance"),
    "dataset: an unknown name": ("dataset msrvt a videos --out work/m.parquet", "msrvt", "msrvtt"),
    "shapes: an unknown kind": ("shapes work/w --kind round", "round", "plain"),
    "concepts: a file that is not there": ("concepts texts.txt", "texts.txt", "no such"),
}
TRAIN = {
    "run: clips for shards": ("run clips --out work/run", "clips", "balance"),
    "run: a folder that is not there": ("run shardz --out work/run", "shardz", "balance"),
    "run: unknown weights": (
        "run shards --weights mlp_meta --out work/run",
        "mlp_meta",
        "did you mean 'mlp-meta'",
    ),
    "run: an unknown model": ("run shards --model smal --out work/run", "smal", "small"),
    "run: a batch of one": ("run shards --batch-size 1 --out work/run", "1", "at least 2"),
    "run: an unknown setting": (
        "run shards --set weight_lrr=3 --out work/run",
        "weight_lrr",
        "weight_lr,",
    ),
    "eval: shards for a run": ("eval shards shards", "shards", "checkpoint"),
    "compare: a file that is not there": (
        "compare arms.toml --out work/c",
        "arms.toml",
        "toml or json",
    ),
}
CASES = [("mama-augment", k, *v) for k, v in AUGMENT.items()] + [
    ("mama-train", k, *v) for k, v in TRAIN.items()
]


def call(program: str, words: list[str]) -> int:
    if program == "mama-train":
        return train(*words)
    before, sys.argv = sys.argv, ["mama-augment", *words]
    try:
        augment()
    except SystemExit as error:
        return int(error.code or 0)
    finally:
        sys.argv = before
    return 0


def files_of(root: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("program", "kind", "line", "value", "way_out"), CASES, ids=[case[1] for case in CASES]
)
def test_a_mistake_is_one_message_with_a_way_out(
    program: str,
    kind: str,
    line: str,
    value: str,
    way_out: str,
    world: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(world)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "200")
    before = files_of(world)
    code = call(program, line.split())
    message = capfd.readouterr().err
    assert code == 2, message
    assert "Traceback" not in message
    assert value in message, message
    assert way_out.lower() in message.lower(), message
    errors = [row for row in message.splitlines() if "error" in row.lower()]
    assert len(errors) == 1, message
    assert files_of(world) == before, "nothing is written"


def test_there_are_enough_kinds() -> None:
    assert len(CASES) >= 80
