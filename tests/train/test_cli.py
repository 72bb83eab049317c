"""The command line: summaries, exit codes, messages without tracebacks."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.train.program import call
from tests.train.shards_helper import write_shards

SIZES = {"train": 12, "meta": 6, "val": 6, "test": 6}
QUICK = ("--steps", "2", "--batch-size", "4", "--set", "num_frames=2", "--set", "tensorboard=false")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("shards"), SIZES)


@pytest.fixture(scope="module")
def run(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "first"
    assert call("run", str(shards), "--out", str(out), *QUICK) == 0
    return out


def test_run_writes_a_report(run: Path) -> None:
    assert (run / "report.html").stat().st_size > 10_000


def test_eval_of_the_run_prints_its_metrics(
    run: Path, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "metrics.json"
    assert call("eval", str(run), str(shards), "--out", str(out)) == 0
    assert "text to video" in capsys.readouterr().out
    assert '"R@1"' in out.read_text()


def test_export_then_eval_is_the_same_model(run: Path, shards: Path, tmp_path: Path) -> None:
    assert call("export", str(run), "--out", str(tmp_path / "model")) == 0
    for name, model in (("a", run), ("b", tmp_path / "model")):
        assert call("eval", str(model), str(shards), "--out", str(tmp_path / name)) == 0
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text()
    assert call("export", str(run), "--out", str(tmp_path / "model")) == 2


def test_embed_writes_unit_vectors(run: Path, shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "embeddings.parquet"
    assert call("embed", str(run), str(shards), "--out", str(out)) == 0
    table = pq.read_table(out)
    assert table["kind"].to_pylist() == ["video"] * 6 + ["text"] * 6
    vector = table["embedding"][0].as_py()
    assert sum(x * x for x in vector) == pytest.approx(1, abs=1e-5)
    assert table["text"][0].as_py() is None


def test_a_loss_that_is_no_number_exits_with_1(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--lr", "1e12", "--margin", "0", "--steps", "5", *QUICK[2:])
    assert call("run", str(shards), "--out", str(tmp_path / "run"), *words) == 1
    assert "nonfinite.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("run", "/nowhere/shards"), "/nowhere/shards"),
        (("run", "SHARDS", "--margin", "4"), "4.0"),
        (("run", "SHARDS", "--weights", "magic"), "magic"),
        (("run", "SHARDS", "--model", "gigantic"), "gigantic"),
        (("run", "SHARDS", "--set", "depth=3"), "depth=3"),
        (("run", "SHARDS", "--set", "normalised=perhaps"), "normalised=perhaps"),
        (("eval", "/nowhere/run", "SHARDS"), "/nowhere/run"),
        (("run", "SHARDS", "--lr", "nan"), "lr is nan"),
        (("run", "SHARDS", "--seed", str(2**64)), f"seed is {2**64}"),
        (("run", "SHARDS", "--set", "device=foo"), "device 'foo' is unknown; allowed: auto, cpu"),
        (("run", "SHARDS", "--set", "device=cuda:99"), "device 'cuda:99': "),
        (("run", "SHARDS", "--set", "wandb=true"), "--set wandb=true"),
        (("run", "SHARDS", "--set", "max_logit_scale=0"), "max_logit_scale is 0.0; give at least"),
        (("run", "SHARDS", "--set", "max_logit_scale=2"), "give --set max_logit_scale="),
        (("run", "SHARDS", "--set", "beta1=1.5"), "beta1 is 1.5; give a number from 0"),
        (("run", "SHARDS", "--set", "weight_lr=nan"), "weight_lr is nan"),
        (("run", "SHARDS", "--set", "num_workers=-1"), "num_workers is -1; give at least 0"),
        (("eval", "RUN", "SHARDS", "--num-frames", "0"), "num_frames is 0"),
        (("eval", "RUN", "SHARDS", "--device", "foo"), "device 'foo'"),
        (("eval", "RUN", "SHARDS", "--out", "FOLDER"), "is a folder; give the name of a file"),
        (("eval", "RUN", "SHARDS", "--out", "FILE/m.json"), "is a file; give another --out"),
        (("embed", "RUN", "SHARDS", "--out", "FOLDER"), "is a folder; give the name of a file"),
        (("export", "RUN", "--out", "FILE"), "is a file; give another --out"),
    ],
)
def test_mistakes_exit_with_2_and_name_the_value(
    words: tuple[str, ...],
    expected: str,
    run: Path,
    shards: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # as if it were not installed
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    places = {"FOLDER": tmp_path / "folder", "FILE": tmp_path / "file"}
    places |= {"SHARDS": shards, "RUN": run}
    given = ["/".join(str(places.get(p, p)) for p in w.split("/")) for w in words]
    extra = ["--out", str(tmp_path / "out")] if words[0] == "run" else []
    assert call(*given, *extra) == 2
    message = capsys.readouterr().err
    assert expected in message
    assert "Traceback" not in message
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder"]
