"""The step in every input: what is asked, what rows say, what captions are known by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mama_augment.caption import settle
from mama_augment.caption.config import AskConfig
from mama_augment.caption.engines import EngineConfig, ServingConfig
from mama_augment.caption.engines.base import CaptionRequest, ChatConfig, SamplingConfig
from mama_augment.caption.input.layout import GridLayout, PictureSize
from mama_augment.caption.input.prompts import resolve
from mama_augment.caption.known import Known
from mama_augment.caption.models import Model
from mama_augment.caption.requests import CaptionSettings, ClipRow, identify, prepare
from mama_augment.core.errors import InputError
from mama_augment.core.store.step_dir import StepDir
from mama_augment.runtime import RuntimeConfig
from tests.augment.scripted_engine import Script, ScriptedEngine
from tests.augment.steps import CaptionRun, open_job, run_caption
from tests.augment.worlds import clip, write_clips

SETTINGS = CaptionSettings(
    model="tiny",
    model_revision="1",
    size=PictureSize(width_px=96, height_px=96),
    prompt=resolve("process"),
)


def jpeg(grey: int, width: int, height: int) -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((height, width, 3), grey, np.uint8))[1])


def rows() -> list[dict[str, Any]]:
    wide = [jpeg(20 * i, 64, 36) for i in range(12)]
    upright = [jpeg(20 * i, 36, 64) for i in range(12)]
    times = [5.0 + 0.5 * i for i in range(12)]
    return [
        clip("wide") | {"frames": wide, "frame_seconds": times, "start_seconds": 5.0},
        clip("upright") | {"frames": upright, "frame_seconds": times, "start_seconds": 4.5},
    ]


class Noting(ScriptedEngine):
    """Keeps what it was asked."""

    asked: list[CaptionRequest]

    def generate(self, requests: Any) -> Any:
        def noted() -> Any:
            for request in requests:
                self.asked.append(request)
                yield request

        return super().generate(noted())


def run(
    tmp_path: Path, settings: CaptionSettings
) -> tuple[dict[str, dict[str, Any]], list[CaptionRequest]]:
    clips = write_clips(tmp_path / "clips", rows())
    asked: list[CaptionRequest] = []

    def start(config: EngineConfig) -> Noting:
        engine = Noting(config, Script())
        engine.asked = asked
        return engine

    engine = EngineConfig(name="transformers", model="none", input=settings.input)
    runtime = RuntimeConfig(num_workers=1)
    out = tmp_path / "out"
    run_caption(open_job(clips, str(out), settings, engine, runtime, CaptionRun(), start))
    found = [row for table in StepDir.open(str(out)).tables() for row in table.to_pylist()]
    return {row["clip_id"]: row for row in found}, asked


def test_each_clip_has_the_grid_that_suits_it_and_its_row_says_so(tmp_path: Path) -> None:
    found, asked = run(tmp_path, SETTINGS)
    layouts = {k: (r["input"], r["grid_rows"], r["grid_columns"]) for k, r in found.items()}
    assert layouts == {"wide": ("grid", 4, 3), "upright": ("grid", 3, 4)}
    assert all(request.shown.images[0].shape == (96, 96, 3) for request in asked)
    assert {r["video_uri"] for r in found.values()} == {r["video_uri"] for r in rows()}


@pytest.mark.parametrize("input", ["images", "video"])
def test_frames_come_with_their_times_from_the_clips_beginning(tmp_path: Path, input: str) -> None:
    found, asked = run(tmp_path, replace(SETTINGS, input=input))
    assert all(row["input"] == input and row["grid_rows"] is None for row in found.values())
    wide, upright = sorted(asked, key=lambda r: -r.shown.images[0].shape[1])
    assert wide.shown.seconds == tuple(0.5 * i for i in range(12))
    assert upright.shown.seconds[0] == 0.5
    assert [int(i.mean()) for i in wide.shown.images] == pytest.approx(
        [20 * i for i in range(12)], abs=2
    )
    assert found["wide"]["mean_logprob"] is None


def row(seconds: list[float]) -> ClipRow:
    known: Known = {}
    return ClipRow(
        unit_id="u", position=0, clip_id="c", num_captions=1, frames=[jpeg(1, 8, 8)] * 2,
        seconds=seconds, video_uri="v", columns={}, known=known,
    )  # fmt: skip


def test_a_caption_is_known_by_all_that_decides_it() -> None:
    changes: list[dict[str, Any]] = [
        {"input": "images"}, {"input": "video"}, {"grid": GridLayout()},
        {"size": PictureSize(width_px=96, height_px=96, step_px=28)},
        {"chat": ChatConfig(system_prompt="Be brief.")},
        {"chat": ChatConfig(chat_template_kwargs=("enable_thinking=false",))},
        {"sampling": SamplingConfig(sampling_args=("top_k=5",))},
        {"sampling": SamplingConfig(logprobs=True)}, {"engine_args": {"quantization": "fp8"}},
        {"model_revision": "2"},
    ]  # fmt: skip
    keys = [identify(row([]), replace(SETTINGS, **c)).keys[0] for c in [{}, *changes]]
    assert len(set(keys)) == len(keys)
    video = replace(SETTINGS, input="video")
    keys = [identify(row(times), video).keys[0] for times in ([0.0, 1.0], [0.0, 1.001])]
    assert keys[0] != keys[1]


def test_what_was_not_asked_for_leaves_keys_as_they_were() -> None:
    """A caption of an explicit grid that was paid for before there were inputs is still found."""
    old = {
        "grid": "3x4", "size_px": [336, 336], "model_revision": "r", "temperature": 0.2,
        "top_p": 1.0, "max_tokens": 128, "seed": 0,
    }  # fmt: skip
    settings = replace(
        SETTINGS,
        model_revision="r",
        size=PictureSize(width_px=336, height_px=336),
        grid=GridLayout(),
    )
    assert settings.key_fields() == old


def test_text_of_a_clip_with_an_image_tag_is_asked_and_keeps_its_words() -> None:
    settings = replace(SETTINGS, prompt=resolve("Improve this caption: {{ text }}"))
    clip_row = replace(row([]), columns={"text": "press <image> to go on"})
    ((request, _),) = prepare(clip_row, settings).requests
    assert "press <image>" in request.prompt  # engines neutralise by their own tokens


MODEL = Model(
    name="m", directory="m", revision="1", size=PictureSize(width_px=336, height_px=336),
    inputs=("grid", "images"), default_input="grid",
)  # fmt: skip


@pytest.mark.parametrize(
    ("ask", "inputs", "default", "wanted"),
    [
        ({}, ("grid", "images", "video"), "video", "video"),
        ({}, ("grid", "images"), "grid", "grid"),
        ({"grid": GridLayout()}, ("grid", "images", "video"), "video", "grid"),
        ({"picture_px": 500}, ("grid", "images", "video"), "video", "grid"),
        ({"input": "images"}, ("grid", "images", "video"), "video", "images"),
    ],
)
def test_the_input_follows_the_model_unless_asked_for(
    ask: dict[str, Any], inputs: tuple[str, ...], default: str, wanted: str
) -> None:
    model = replace(MODEL, inputs=inputs, default_input=default)
    assert settle.input_for(AskConfig(**ask), model) == wanted


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        ({"input": "video"}, "m takes grid, images"),
        ({"input": "images", "grid": GridLayout()}, "--grid is about a grid"),
        ({"input": "images", "picture_px": 500}, "--picture-px is about a grid"),
    ],
)
def test_an_input_that_cannot_be_is_refused(ask: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        settle.input_for(AskConfig(**ask), MODEL)


def test_files_of_arguments_are_read_once_and_trusted_code_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "args.toml"
    file.write_text("top_k = 3\n")
    ask = AskConfig(
        model="llava-shapes",
        trust_remote_code=True,
        sampling=SamplingConfig(sampling_args=(str(file),)),
    )
    serving = ServingConfig(engine_args=("device_map=cpu", "attn_implementation=eager"))
    settings, engine, _ = settle.settle_all(ask, serving, engine="transformers")
    file.unlink()
    assert settings.sampling.more == {"top_k": 3}
    # Where the model lies does not change what it says; how it attends does.
    assert settings.engine_args == {"attn_implementation": "eager"}
    assert engine.more == {"attn_implementation": "eager", "device_map": "cpu"}
    assert (engine.input, str(settings.grid)) == ("grid", "3x4")
    assert "--trust-remote-code" in capsys.readouterr().err
    from mama_augment.caption.manifest import config_of

    assert config_of(settings, "transformers")["trust_remote_code"] is True
    assert "trust_remote_code" not in config_of(SETTINGS, "transformers")
