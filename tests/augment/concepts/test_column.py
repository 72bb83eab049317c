"""Labels and vectors from the clips table: which column is read, also by a saved model."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from mama_augment.cli import app
from mama_augment.core.errors import InputError
from tests.augment.worlds import clip, write_clips


@pytest.fixture
def clips(tmp_path: Path) -> str:
    rows = [
        clip(
            f"c{i:02d}",
            f"a ball {i}",
            topic="rare" if i < 4 else "frequent",
            vector=[0.0, 1.0] if i < 4 else [1.0, 0.0],
        )
        for i in range(24)
    ]
    extra = [pa.field("topic", pa.string()), pa.field("vector", pa.list_(pa.float32()))]
    return write_clips(tmp_path / "clips", rows, extra=extra)


def call(*arguments: str) -> str:
    """What a command prints; a usage error is raised."""
    result = CliRunner().invoke(app, arguments)
    if isinstance(result.exception, InputError):
        raise result.exception
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


@pytest.mark.parametrize(("concepts", "column"), [("given", "topic"), ("embedding", "vector")])
def test_a_saved_model_remembers_its_column(
    clips: str, tmp_path: Path, concepts: str, column: str
) -> None:
    first, again = str(tmp_path / "first"), str(tmp_path / "again")
    made = ["--concepts", concepts, "--concept-column", column, "--num-concepts", "2"]
    call("balance", clips, "--out", first, *made)
    model = f"{first}/concept_model"
    call("balance", clips, "--out", again, "--concept-model", model)
    visits = [
        [c["num_before"] for c in json.loads(Path(out, "concepts.json").read_text())]
        for out in (first, again)
    ]
    assert sorted(visits[0]) == [4, 20]
    assert visits[1] == visits[0]
    assert (
        Path(again, "concept_model/model.json").read_bytes()
        == Path(model, "model.json").read_bytes()
    )
    plan = str(tmp_path / "plan.parquet")
    output = call("plan", clips, "--budget", "9", "--out", plan, "--concept-model", model)
    assert "4 → 13" in output, "the budget goes to the rare concept"
    path = Path(model, "model.json")
    content = json.loads(path.read_text())
    del content["column"]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"'{concepts}' and does not say which column"):
        call("plan", clips, "--budget", "9", "--dry-run", "--concept-model", model)
    given = ["--concept-model", model, "--concept-column", column]
    assert "4 → 13" in call("plan", clips, "--budget", "9", "--dry-run", *given)


def test_a_model_that_does_not_fit_the_options_is_refused(clips: str, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    call("balance", clips, "--out", out, "--concepts", "vocabulary")
    model = ["--concept-model", f"{out}/concept_model"]
    with pytest.raises(InputError, match="a model of 'vocabulary'; leave --concepts out"):
        call("plan", clips, "--budget", "1", "--concepts", "given", *model)
    with pytest.raises(InputError, match="'topic': vocabulary reads the texts"):
        call("plan", clips, "--budget", "1", "--concept-column", "topic", *model)
    Path(out, "concept_model/model.json").write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        call("plan", clips, "--budget", "1", *model)


def test_matching_nothing_is_a_loud_warning(clips: str, tmp_path: Path) -> None:
    phrases = tmp_path / "phrases.txt"
    phrases.write_text("violin\ntrumpet\n")
    found = ["--concepts", "vocabulary", "--vocabulary", str(phrases)]
    said = "none of the 24 training texts is about any of the 2 concepts"
    assert said in call("balance", clips, "--out", str(tmp_path / "out"), *found)
    stats = json.loads((tmp_path / "out/stats.json").read_text())
    assert any(said in warning for warning in stats["warnings"])
    planned = call("plan", clips, "--budget", "3", "--dry-run", *found)
    assert "no clip is about any of the 2 concepts" in planned
    phrases.write_text("ball\n")
    assert "is about any" not in call("balance", clips, "--out", str(tmp_path / "b"), *found)
    assert "is about any" not in call("plan", clips, "--budget", "3", "--dry-run", *found)


@pytest.mark.parametrize("column", ["clip_id", "video_uri", "topic", "num_frames", "split"])
def test_any_column_of_labels_may_be_given(clips: str, tmp_path: Path, column: str) -> None:
    chosen = ["--concepts", "given", "--concept-column", column]
    call("balance", clips, "--out", str(tmp_path / "out"), *chosen)
    concepts = json.loads((tmp_path / "out/concepts.json").read_text())
    assert len(concepts) == {"topic": 2, "num_frames": 1, "split": 0}.get(column, 24)


@pytest.mark.parametrize(
    ("concepts", "column", "kind", "fitting"),
    [
        ("given", "frames", "list<element: binary>", "topic"),
        ("given", "texts", "list<element: struct", "topic"),
        ("given", "vector", "list<element: float>", "topic"),
        ("embedding", "strategy", "holds string", "vector"),
        ("embedding", "texts", "list<element: struct", "vector"),
        ("embedding", "lost", "no such column", "vector"),
    ],
)
def test_columns_of_another_type_are_refused_and_fitting_ones_named(
    clips: str, tmp_path: Path, concepts: str, column: str, kind: str, fitting: str
) -> None:
    chosen = ["--concepts", concepts, "--concept-column", column]
    for command in (["balance", "--out", str(tmp_path / "out")], ["plan", "--budget", "1"]):
        with pytest.raises(InputError) as error:
            call(command[0], clips, *command[1:], *chosen)
        message = str(error.value)
        assert repr(column) in message
        assert kind in message
        names = message.partition("of that kind: ")[2].split(", ")
        assert fitting in names
        assert column not in names
