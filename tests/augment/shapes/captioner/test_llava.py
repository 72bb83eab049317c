"""The bundled captioner: its files, and that it truly captions clips it has never seen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mama_augment.shapes.captioner.evaluate import BUNDLED, Captioner, accuracy, caption_world
from mama_augment.shapes.world.make import WorldConfig, make_world, world_members
from mama_augment.shapes.world.scene import Scene, parse_caption

WORLD = WorldConfig(seed=4242, num_videos=16, zipf_exponent=0, meta=0, val=0, test=0)


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    return Captioner(BUNDLED)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("world") / "world"
    make_world(directory, WORLD)
    return directory


def test_it_captions_clips_of_another_world(captioner: Captioner, world: Path) -> None:
    members = list(world_members(WORLD))
    ids = [member.clip_id for member in members]
    captions = caption_world(captioner, world, ids, "peaks", "What happens in this video?")
    found = accuracy(captions, [member.scene for member in members])
    assert found.colour >= 15 / 16, captions
    assert found.shape >= 14 / 16, captions
    assert found.first_motion >= 14 / 16, captions
    assert found.second_motion >= 14 / 16, captions


@pytest.mark.parametrize(
    "prompt",
    [
        "In a sentence, describe the process in the video.",
        "Write a short caption sentence for the video in order from left to right, top to bottom.",
        "Qué sucede en este vídeo? 这段视频里发生了什么?",
    ],
)
def test_any_prompt_gets_a_caption(captioner: Captioner, world: Path, prompt: str) -> None:
    ids = [member.clip_id for member in world_members(WORLD)][:4]
    captions = caption_world(captioner, world, ids, "uniform", prompt)
    assert all(parse_caption(caption) for caption in captions), captions


def test_frames_in_reverse_reverse_the_story(captioner: Captioner) -> None:
    """The order of the cells carries the meaning, so a shuffled grid could not pass unnoticed."""
    import numpy as np

    from mama_augment.caption.input.grid import compose_grid
    from mama_augment.core.draws import Draws
    from mama_augment.shapes.world.render import render_clip
    from mama_augment.shapes.world.take import draw_take

    scene = Scene(colour="blue", shape="square", first_motion="moves left", second_motion="grows")
    frames = list(render_clip(draw_take(scene, Draws((11,)))))
    chosen = [frames[i] for i in np.linspace(1, len(frames) - 2, 12).astype(int)]
    forwards = compose_grid(chosen, 3, 4, captioner.size_px)
    backwards = compose_grid(chosen[::-1], 3, 4, captioner.size_px)
    assert captioner([forwards, backwards]) == [
        "a blue square moves left, then grows",
        "a blue square shrinks, then moves right",
    ]


def test_its_files_are_small_and_laid_out_as_published_llavas() -> None:
    from safetensors import safe_open

    files = {path.name: path.stat().st_size for path in BUNDLED.iterdir()}
    assert sum(files.values()) < 8 * 2**20
    with safe_open(BUNDLED / "model.safetensors", "pt") as weights:
        names = set(weights.keys())
    groups = (
        "vision_tower.vision_model.embeddings.",
        "vision_tower.vision_model.encoder.layers.",
        "multi_modal_projector.linear_",
        "language_model.model.layers.",
        "language_model.lm_head.weight",
    )
    assert all(any(name.startswith(group) for name in names) for group in groups), names
    config = json.loads((BUNDLED / "config.json").read_text())
    assert config["model_type"] == "llava"
    assert config["architectures"] == ["LlavaForConditionalGeneration"]
    assert config["vision_config"]["model_type"] == "clip_vision_model"
    assert config["text_config"]["model_type"] == "llama"


def test_its_prompt_is_llavas_own(captioner: Captioner) -> None:
    parts = [{"type": "image"}, {"type": "text", "text": "What happens?"}]
    text = captioner.processor.apply_chat_template(
        [{"role": "user", "content": parts}], add_generation_prompt=True
    )
    assert text == "USER: <image>\nWhat happens? ASSISTANT:"
