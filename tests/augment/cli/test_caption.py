"""The command `caption`, with a server as its engine: what it is given, and what it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mama_augment.cli import app
from mama_augment.core.errors import InputError
from mama_augment.core.store.audit import audit
from mama_augment.core.store.step_dir import StepDir
from tests.augment.fake_server import Answer, Json, Server, serving
from tests.augment.worlds import clip, write_clips

NUM_CLIPS = 10


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as started:
        started.models = ["model-a", "model-b"]
        started.behave = names_itself
        yield started


@pytest.fixture
def clips_dir(tmp_path: Path) -> str:
    return write_clips(tmp_path / "clips", [clip(f"c{i}") for i in range(NUM_CLIPS)])


def names_itself(body: dict[str, Any], number: int) -> Json:
    choice = {"finish_reason": "stop", "message": {"content": f"{body['model']} sees a dog"}}
    choices = [{"index": i, **choice} for i in range(body["n"])]
    usage = {"prompt_tokens": 30, "completion_tokens": 7 * len(choices)}
    return 200, {"choices": choices, "usage": usage}, {}


def run(clips: str, out: Path, server: Server, *more: str, model: str = "model-a") -> Result:
    arguments = ["caption", clips, "--out", str(out), "--engine", "openai", "--model", model]
    return CliRunner().invoke(app, [*arguments, "--base-url", server.base_url, *more])


def said(out: Path) -> set[tuple[str, str]]:
    """(model, text) of every caption."""
    tables = StepDir.open(str(out), step="caption").tables(["model", "raw_text"])
    return {(row["model"], row["raw_text"]) for table in tables for row in table.to_pylist()}


def test_one_served_models_captions_are_no_others(
    clips_dir: str, tmp_path: Path, server: Server
) -> None:
    a, b, again = tmp_path / "a", tmp_path / "b", tmp_path / "again"
    assert run(clips_dir, a, server).exit_code == 0
    assert run(clips_dir, b, server, "--reuse", str(a), model="model-b").exit_code == 0
    assert said(a) == {("model-a", "model-a sees a dog")}
    assert said(b) == {("model-b", "model-b sees a dog")}
    assert len(server.bodies) == 2 * NUM_CLIPS
    assert run(clips_dir, again, server, "--reuse", str(a)).exit_code == 0
    assert said(again) == said(a)
    assert len(server.bodies) == 2 * NUM_CLIPS  # the same model's captions are copied


def test_a_template_that_fills_the_memory_for_every_clip_stops_the_run(
    clips_dir: str, tmp_path: Path, server: Server
) -> None:
    out = tmp_path / "out"
    result = run(clips_dir, out, server, "--prompt", "{{ 'a' * 10**14 }} describe")
    assert result.exit_code == 1
    assert "for 3 clips in a row; mend the template" in result.output
    assert audit(StepDir.open(str(out))).num_pending == NUM_CLIPS, "no row pays for it"


def test_a_template_that_fails_rejects_its_rows_and_ends_no_run(
    clips_dir: str, tmp_path: Path, server: Server
) -> None:
    prompt = "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }} describe"
    out = tmp_path / "out"
    assert run(clips_dir, out, server, "--prompt", prompt).exit_code == 1  # nothing is ok
    opened = StepDir.open(str(out))
    rejects = [r for record in opened.records().values() for r in opened.read_rejects(record)]
    assert [(r.verdict, r.reason) for r in rejects] == [("rejected", "prompt_error")] * NUM_CLIPS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sample"], "--sample: only with --dry-run"),
        (["--tokens-per-second", "100"], "--tokens-per-second: only with --dry-run"),
        (["--dry-run", "--tokens-per-second", "nan"], "--tokens-per-second is nan"),
        (["--dry-run", "--tokens-per-second", "inf"], "--tokens-per-second is inf"),
        (["--dry-run", "--tokens-per-second", "0"], "--tokens-per-second is 0"),
        (["--dry-run", "--tokens-per-second", "-5"], "--tokens-per-second is -5"),
    ],
)
def test_options_of_the_dry_run_that_make_no_sense_are_refused(
    clips_dir: str, tmp_path: Path, server: Server, options: list[str], message: str
) -> None:
    result = run(clips_dir, tmp_path / "out", server, *options)
    assert isinstance(result.exception, InputError)  # `main` ends with code 2 and its message
    assert message in str(result.exception)
    assert not server.bodies
    assert not (tmp_path / "out").exists()


def table_of(result: Result) -> dict[str, str]:
    """What the dry run printed, by row."""
    assert result.exit_code == 0, result.output
    cells = [line.strip("│ ").split("│") for line in result.output.splitlines() if "│" in line]
    return {name.strip(): value.strip() for name, value in cells}


def test_a_servers_tokens_are_counted_also_for_several_captions(
    clips_dir: str, tmp_path: Path, server: Server
) -> None:
    options = ["-n", "3", "--dry-run", "--sample", "--tokens-per-second", "1"]
    table = table_of(run(clips_dir, tmp_path / "out", server, *options, "--replicas", "2"))
    assert table["requests"] == "10"
    assert table["output tokens"] == "210"  # 7 for each of 30 captions
    assert table["input tokens"] == "300"
    assert table["time"] == "3.5 min of the server"
    assert table["budget"] == "0.06 server-hours"


def test_a_server_that_tells_no_tokens_leaves_the_most_there_can_be(
    clips_dir: str, tmp_path: Path, server: Server
) -> None:
    def tells_nothing(body: dict[str, Any], number: int) -> Answer:
        status, content, headers = names_itself(body, number)
        return status, {"choices": content["choices"]}, headers

    server.behave = tells_nothing
    options = ["-n", "3", "--dry-run", "--sample", "--max-tokens", "20"]
    table = table_of(run(clips_dir, tmp_path / "out", server, *options))
    assert table["output tokens"] == "at most 600"
    assert table["input tokens"] == "not known; --sample asks the engine"
    fast = table_of(run(clips_dir, tmp_path / "out", server, *options, "--tokens-per-second", "10"))
    assert fast["time"] == "at most 1.0 min of the server"


def test_the_dry_run_of_an_engine_here_states_its_budget(clips_dir: str, tmp_path: Path) -> None:
    arguments = ["caption", clips_dir, "--out", str(tmp_path / "out"), "--model", "llava-shapes"]
    options = ["-n", "3", "--engine", "transformers", "--dry-run", "--tokens-per-second", "0.1"]
    options += ["--replicas", "2", "--max-tokens", "100"]
    table = table_of(CliRunner().invoke(app, [*arguments, *options]))
    assert (table["requests"], table["prefills"]) == ("10", "30, one for each caption")
    assert table["output tokens"] == "at most 3,000"
    assert table["time"] == "at most 250.0 min on 2 engines"
    assert table["budget"] == "at most 8.33 engine-hours"
    assert table["budget on GPUs"] == "at most 8.33 GPU-hours, 1 per engine"
    assert not (tmp_path / "out").exists()


def test_a_server_that_refuses_everything_rejects_no_clip(tmp_path: Path, server: Server) -> None:
    num = 40
    clips = write_clips(tmp_path / "clips", [clip(f"c{i:02d}") for i in range(num)])
    out = tmp_path / "out"
    refuses = {"error": {"message": "this model does not support images"}}
    server.behave = lambda body, number: (400, refuses, {})
    result = run(clips, out, server)
    assert result.exit_code == 1
    assert "does not support images" in " ".join(result.output.split())
    ledger = audit(StepDir.open(str(out), step="caption"))
    assert (ledger.num_in, ledger.num_rejected, ledger.num_pending) == (num, 0, num)
    server.behave = names_itself
    assert run(clips, out, server).exit_code == 0
    ledger = audit(StepDir.open(str(out), step="caption"))
    assert (ledger.num_ok, ledger.num_pending) == (num, 0)


def keys(out: Path) -> set[str]:
    tables = StepDir.open(str(out), step="caption").tables(["caption_key"])
    return {key for table in tables for key in table["caption_key"].to_pylist()}


def test_pictures_as_jpeg_make_other_captions_and_a_timeout_does_not(
    clips_dir: str, tmp_path: Path, server: Server
) -> None:
    png, jpeg = tmp_path / "png", tmp_path / "jpeg"
    assert run(clips_dir, png, server).exit_code == 0
    refused = run(clips_dir, png, server, "--picture-format", "jpeg")
    assert isinstance(refused.exception, InputError)
    assert "engine_args" in str(refused.exception)
    assert run(clips_dir, png, server, "--timeout", "5").exit_code == 0  # nothing to do
    assert len(server.bodies) == NUM_CLIPS
    again = run(clips_dir, jpeg, server, "--picture-format", "jpeg", "--reuse", str(png))
    assert again.exit_code == 0
    assert len(server.bodies) == 2 * NUM_CLIPS  # no caption of the others is copied
    assert len(keys(png) | keys(jpeg)) == 2 * NUM_CLIPS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--timeout", "0"], "--timeout is 0"),
        (["--timeout", "nan"], "--timeout is nan"),
        (["--picture-format", "gif"], "--picture-format is 'gif'"),
        (["--env", "HOME"], "--env HOME is for --runtime ray"),
        (["--replicas", "3:1"], "--replicas is 3:1"),
    ],
)
def test_settings_of_a_server_that_cannot_be_are_named(
    clips_dir: str, tmp_path: Path, server: Server, options: list[str], message: str
) -> None:
    result = run(clips_dir, tmp_path / "out", server, *options)
    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)
    assert not server.bodies


def test_an_engine_that_takes_pixels_has_no_picture_format(
    clips_dir: str, tmp_path: Path, server: Server
) -> None:
    line = ["caption", clips_dir, "--out", str(tmp_path / "out"), "--engine", "transformers"]
    line += ["--model", "llava-shapes", "--picture-format", "jpeg"]
    result = CliRunner().invoke(app, line)
    assert isinstance(result.exception, InputError)
    assert "transformers is given pixels" in str(result.exception)
