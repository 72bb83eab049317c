"""The dry run: it counts what a run then asks, and writes nothing."""

from __future__ import annotations

import sys
import types
from dataclasses import replace
from pathlib import Path

import pytest

from mama_augment.caption.engines import EngineConfig
from mama_augment.caption.engines.base import SamplingConfig
from mama_augment.caption.input.layout import PictureSize
from mama_augment.caption.input.prompts import resolve
from mama_augment.caption.requests import CaptionSettings
from mama_augment.core.errors import InputError
from mama_augment.core.store.audit import audit
from mama_augment.core.store.step_dir import StepDir
from mama_augment.runtime import RuntimeConfig
from tests.augment.caption.test_step import fail_writing
from tests.augment.scripted_engine import Script
from tests.augment.steps import CaptionRun, forecast_of, open_job, run_caption
from tests.augment.worlds import clip, write_clips

ENGINE = EngineConfig(name="transformers", model="none", max_in_flight=4)
SETTINGS = CaptionSettings(
    model="tiny",
    model_revision="1",
    size=PictureSize(width_px=48, height_px=48),
    prompt=resolve("process"),
    sampling=SamplingConfig(temperature=0.5, max_tokens=40),
    num_captions=2,
)


@pytest.fixture
def clips_dir(tmp_path: Path) -> str:
    return write_clips(tmp_path / "clips", [clip(f"c{i}") for i in range(30)])


def test_without_a_sample_the_most_there_can_be_is_stated(clips_dir: str) -> None:
    script = Script()
    found = forecast_of(
        clips_dir, SETTINGS, ENGINE, tokens_per_second=120.0, start_engine=script.start
    )
    assert (found.num_clips, found.num_captions, found.num_requests) == (30, 60, 30)
    assert (found.num_output_tokens, found.engine_seconds) == (60 * 40, 20.0)
    assert (found.num_prompt_tokens, found.is_measured, script.num_starts) == (None, False, 0)


def test_engines_share_the_time_and_a_prompt_is_read_as_often_as_the_engine_reads_it(
    clips_dir: str,
) -> None:
    found = forecast_of(clips_dir, SETTINGS, ENGINE, num_engines=4, tokens_per_second=120.0)
    assert (found.num_requests, found.num_prefills) == (30, 60)
    assert (found.engine_seconds, found.num_engines, found.is_time_measured) == (20.0, 4, False)
    many = forecast_of(clips_dir, SETTINGS, ENGINE, num_engines=40, tokens_per_second=120.0)
    assert many.num_engines == 5  # there are no more units to share
    server = replace(ENGINE, name="openai")
    one = forecast_of(clips_dir, SETTINGS, server, num_engines=4, tokens_per_second=120.0)
    assert (one.num_prefills, one.num_engines) == (30, 1)


def test_a_sample_measures_the_engine(clips_dir: str) -> None:
    script = Script()
    found = forecast_of(clips_dir, SETTINGS, ENGINE, with_sample=True, start_engine=script.start)
    # The scripted engine says 7 tokens to 20, whatever it is shown.
    assert (found.num_output_tokens, found.num_prompt_tokens) == (60 * 7, 60 * 20)
    assert found.is_measured
    assert found.engine_seconds is not None
    assert found.engine_seconds > 0
    assert len(script.asked) == 1 + 16  # one to start the engine, and the smallest sample


def test_what_is_there_already_is_not_asked_again(clips_dir: str, tmp_path: Path) -> None:
    one = replace(SETTINGS, num_captions=1)
    run_caption(
        open_job(
            clips_dir, str(tmp_path / "one"), one, ENGINE, RuntimeConfig(num_workers=1),
            CaptionRun(), Script().start,
        )
    )  # fmt: skip
    reusing = CaptionRun(reuse_uri=str(tmp_path / "one"))
    found = forecast_of(clips_dir, SETTINGS, ENGINE, how=reusing)
    assert (found.num_captions, found.num_there, found.num_requests) == (60, 30, 30)
    same = forecast_of(clips_dir, one, ENGINE, how=reusing)
    assert (same.num_there, same.num_requests, same.num_output_tokens) == (30, 0, 0)


def test_a_speed_that_is_none_is_refused(clips_dir: str) -> None:
    with pytest.raises(InputError, match="--tokens-per-second is 0"):
        forecast_of(clips_dir, SETTINGS, ENGINE, tokens_per_second=0)


def test_what_the_output_directory_holds_is_not_asked_again(clips_dir: str, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    runtime, start = RuntimeConfig(num_workers=1), Script().start
    new = forecast_of(clips_dir, SETTINGS, ENGINE, out_uri=out)
    assert (new.num_there, new.num_requests, Path(out).exists()) == (0, 30, False)
    make_room = fail_writing(after=19)  # one unit of 7 clips, and 5 captions in the journal
    try:
        job = open_job(clips_dir, out, SETTINGS, ENGINE, runtime, CaptionRun(), start)
        with pytest.raises(OSError, match="No space left"):
            run_caption(job)
    finally:
        make_room()
    assert audit(StepDir.open(out)).num_ok == 14
    before = {p: p.read_bytes() for p in sorted(Path(out).rglob("*")) if p.is_file()}
    found = forecast_of(clips_dir, SETTINGS, ENGINE, out_uri=out)
    assert {p: p.read_bytes() for p in sorted(Path(out).rglob("*")) if p.is_file()} == before
    script = Script()
    job = open_job(clips_dir, out, SETTINGS, ENGINE, runtime, CaptionRun(), script.start)
    run_caption(job)
    assert (found.num_there, found.num_requests) == (19, len(script.asked))
    assert found.num_output_tokens == (60 - 19) * 40
    done = forecast_of(clips_dir, SETTINGS, ENGINE, out_uri=out)
    assert (done.num_there, done.num_requests, done.num_output_tokens) == (60, 0, 0)
    again = forecast_of(clips_dir, SETTINGS, ENGINE, out_uri=out, how=CaptionRun(overwrite=True))
    assert (again.num_there, again.num_requests) == (0, 30)


def test_failed_captions_are_asked_again_on_request(clips_dir: str, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    failing = Script(fails=frozenset({"00000:5:0", "00002:1:0"})).start
    runtime = RuntimeConfig(num_workers=1)
    run_caption(open_job(clips_dir, out, SETTINGS, ENGINE, runtime, CaptionRun(), failing))
    settled = forecast_of(clips_dir, SETTINGS, ENGINE, out_uri=out)
    assert (settled.num_there, settled.num_requests) == (60, 0)
    retry = forecast_of(clips_dir, SETTINGS, ENGINE, out_uri=out, how=CaptionRun(retry_failed=True))
    assert (retry.num_there, retry.num_requests) == (56, 2)


def test_what_a_run_would_refuse_the_dry_run_refuses(clips_dir: str, tmp_path: Path) -> None:
    out, other = str(tmp_path / "out"), tmp_path / "other"
    runtime, start = RuntimeConfig(num_workers=1), Script().start
    open_job(clips_dir, out, SETTINGS, ENGINE, runtime, CaptionRun(), start)
    with pytest.raises(InputError, match="num_captions was 2, now 1"):
        forecast_of(clips_dir, replace(SETTINGS, num_captions=1), ENGINE, out_uri=out)
    with pytest.raises(InputError, match="holds the output of `mama-augment keyframes`"):
        forecast_of(clips_dir, SETTINGS, ENGINE, out_uri=clips_dir)
    other.mkdir()
    (other / "notes.txt").touch()
    with pytest.raises(InputError, match=r"not empty.*notes.txt"):
        forecast_of(clips_dir, SETTINGS, ENGINE, out_uri=str(other))
    with pytest.raises(InputError, match="is a file"):
        forecast_of(clips_dir, SETTINGS, ENGINE, out_uri=str(other / "notes.txt"))


def test_a_model_that_the_engine_cannot_serve_is_refused_before_anything_is_written(
    clips_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(config: EngineConfig, sampling: SamplingConfig) -> None:
        raise InputError(f"vLLM cannot serve {config.model!r}")

    module = types.ModuleType("mama_augment.caption.engines.vllm")
    module.check = refuse  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    engine, out, start = replace(ENGINE, name="vllm"), tmp_path / "out", Script().start
    with pytest.raises(InputError, match="vLLM cannot serve 'none'"):
        forecast_of(clips_dir, SETTINGS, engine, out_uri=str(out))
    runtime = RuntimeConfig(num_workers=1)
    with pytest.raises(InputError, match="vLLM cannot serve 'none'"):
        open_job(clips_dir, str(out), SETTINGS, engine, runtime, CaptionRun(), start)
    assert not out.exists()
