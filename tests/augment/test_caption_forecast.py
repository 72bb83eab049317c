"""The dry run: it counts what a run then asks, and writes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mama_augment.engines import EngineConfig
from mama_augment.engines.base import SamplingConfig
from mama_augment.prompts import resolve
from mama_augment.runtime import RuntimeConfig
from mama_augment.schema import InputError
from mama_augment.steps.caption import CaptionRun, open_job, run_caption
from mama_augment.steps.caption_forecast import forecast
from mama_augment.steps.caption_requests import CaptionSettings
from tests.augment.scripted_engine import Script
from tests.augment.worlds import clip, write_clips

ENGINE = EngineConfig(name="transformers", model="none", max_in_flight=4)
SETTINGS = CaptionSettings(
    model="tiny",
    model_revision="1",
    size_px=(48, 48),
    prompt=resolve("process"),
    sampling=SamplingConfig(temperature=0.5, max_tokens=40),
    num_captions=2,
)


@pytest.fixture
def clips_dir(tmp_path: Path) -> str:
    return write_clips(tmp_path / "clips", [clip(f"c{i}") for i in range(30)])


def test_without_a_sample_the_most_there_can_be_is_stated(clips_dir: str) -> None:
    script = Script()
    found = forecast(
        clips_dir, SETTINGS, ENGINE, tokens_per_second=120.0, start_engine=script.start
    )
    assert (found.num_clips, found.num_captions, found.num_requests) == (30, 60, 30)
    assert (found.num_output_tokens, found.seconds) == (60 * 40, 20.0)
    assert (found.num_prompt_tokens, found.is_measured, script.num_starts) == (None, False, 0)


def test_a_sample_measures_the_engine(clips_dir: str) -> None:
    script = Script()
    found = forecast(clips_dir, SETTINGS, ENGINE, with_sample=True, start_engine=script.start)
    # The scripted engine says 7 tokens to 20, whatever it is shown.
    assert (found.num_output_tokens, found.num_prompt_tokens) == (60 * 7, 30 * 20)
    assert found.is_measured
    assert found.seconds is not None
    assert found.seconds > 0
    assert len(script.asked) == 1 + 16  # one to start the engine, and the smallest sample


def test_what_is_there_already_is_not_asked_again(clips_dir: str, tmp_path: Path) -> None:
    one = replace(SETTINGS, num_captions=1)
    run_caption(
        open_job(
            clips_dir, str(tmp_path / "one"), one, ENGINE, RuntimeConfig(num_workers=1),
            CaptionRun(), Script().start,
        )
    )  # fmt: skip
    found = forecast(clips_dir, SETTINGS, ENGINE, reuse_uri=str(tmp_path / "one"))
    assert (found.num_captions, found.num_there, found.num_requests) == (60, 30, 30)
    same = forecast(clips_dir, one, ENGINE, reuse_uri=str(tmp_path / "one"))
    assert (same.num_there, same.num_requests, same.num_output_tokens) == (30, 0, 0)


def test_a_speed_that_is_none_is_refused(clips_dir: str) -> None:
    with pytest.raises(InputError, match="--tokens-per-second is 0"):
        forecast(clips_dir, SETTINGS, ENGINE, tokens_per_second=0)
