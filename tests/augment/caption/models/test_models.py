"""What a model's name means, and what a person reads when it is not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mama_augment.caption import models
from mama_augment.core.errors import InputError


def write_model(directory: Path, config: dict, processor: dict | None, name: str) -> Path:
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(config))
    if processor is not None:
        (directory / name).write_text(json.dumps(processor))
    return directory


@pytest.mark.parametrize(
    ("model_type", "config", "processor", "size"),
    [
        ("llava", {}, {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}},
         (336, 336, None)),
        ("llava", {}, {"size": {"shortest_edge": 224}, "do_center_crop": False}, (224, 224, None)),
        # Pixtral is stored as a LLaVA, and takes any shape.
        ("llava", {"vision_config": {"patch_size": 16}},
         {"size": {"longest_edge": 1024}, "patch_size": {"height": 16, "width": 16}},
         (768, 768, 16)),
        ("llava_next", {}, {"size": {"shortest_edge": 336}, "crop_size": {"height": 336,
         "width": 336}}, (672, 672, None)),
        ("llava_onevision", {}, {"size": {"height": 384, "width": 384}}, (768, 768, None)),
        ("qwen2_5_vl", {}, {"patch_size": 14, "merge_size": 2, "size": {"shortest_edge": 3136}},
         (672, 672, 28)),
        ("qwen3_vl", {}, {"patch_size": 16, "merge_size": 2}, (768, 768, 32)),
        ("qwen3_vl_moe", {}, {"patch_size": 16, "merge_size": 2}, (768, 768, 32)),
        ("internvl", {}, {"size": {"height": 448, "width": 448}}, (896, 896, None)),
        ("gemma3", {}, {"size": {"height": 896, "width": 896}}, (896, 896, None)),
        ("mistral3", {"spatial_merge_size": 2}, {"size": {"longest_edge": 1540},
         "patch_size": 14}, (756, 756, 28)),
        ("smolvlm", {}, {"size": {"longest_edge": 2048}, "max_image_size": {"longest_edge": 512}},
         (1024, 1024, None)),
        ("never_heard_of", {}, {"size": {"height": 448, "width": 448}}, (448, 448, None)),
        ("never_heard_of", {}, {"size": {"shortest_edge": 3136, "longest_edge": 12845056}},
         (768, 768, None)),
        ("never_heard_of", {}, {}, (768, 768, None)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("nested", [False, True])
def test_the_picture_size_comes_from_the_models_own_processor(
    tmp_path: Path,
    model_type: str,
    config: dict,
    processor: dict,
    size: tuple[int, int, int | None],
    nested: bool,
) -> None:
    name = "processor_config.json" if nested else "preprocessor_config.json"
    content = {"image_processor": {"do_resize": True, **processor}} if nested else processor
    path = write_model(tmp_path / "m", {"model_type": model_type, **config}, content, name)
    found = models.find(str(path))
    assert (found.size.width_px, found.size.height_px, found.size.step_px) == size
    assert bool(found.guessed) == (model_type == "never_heard_of")


def test_a_model_of_no_known_family_is_tried_by_its_files(tmp_path: Path) -> None:
    name = "preprocessor_config.json"
    still = write_model(tmp_path / "still", {"model_type": "new"}, {"size": 448}, name)
    moving = write_model(tmp_path / "moving", {"model_type": "new"}, {"size": 448}, name)
    (moving / "video_preprocessor_config.json").write_text("{}")
    token = write_model(
        tmp_path / "token", {"model_type": "new", "video_token_id": 7}, {"size": 448}, name
    )
    assert models.find(str(still)).inputs == ("grid", "images")
    assert models.find(str(still)).default_input == "grid"
    for path in (moving, token):
        assert models.find(str(path)).inputs == ("grid", "images", "video")
        assert models.find(str(path)).default_input == "video"
    assert "'new'" in models.find(str(still)).guessed


def test_the_bundled_model_keeps_what_it_was_trained_on() -> None:
    found = models.find(models.BUNDLED)
    assert (str(found.grid), found.inputs, found.size.step_px) == ("3x4", ("grid",), None)
    assert models.find(str(models.BUNDLED_DIR)).grid == found.grid


@pytest.mark.parametrize(
    ("name", "side", "step", "input"),
    [
        ("llava", 336, None, "grid"),
        ("qwen3-vl", 768, 32, "images"),
        ("Qwen/Qwen3-VL-235B-A22B-Instruct", 768, 32, "images"),
        ("qwen2.5-vl-72b-awq", 672, 28, "images"),
        ("OpenGVLab/InternVL3_5-38B-HF", 896, None, "images"),
        ("gpt-next", 768, None, "grid"),
    ],
)
def test_a_served_model_has_its_own_size_by_name_else_it_is_said(
    name: str, side: int, step: int | None, input: str
) -> None:
    found = models.served(name)
    assert (found.size.width_px, found.size.step_px, found.default_input) == (side, step, input)
    assert bool(found.guessed) == (name == "gpt-next")


def test_a_revision_is_of_the_hub(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m", {"model_type": "llava"}, {"size": 336}, "a.json")
    with pytest.raises(InputError, match=r"--revision.*is a directory"):
        models.find(str(path), revision="main")


def test_a_revision_follows_every_byte_and_no_path(tmp_path: Path) -> None:
    processor = {"size": {"shortest_edge": 48}}
    name = "preprocessor_config.json"
    left = write_model(tmp_path / "left", {"model_type": "llava"}, processor, name)
    right = write_model(tmp_path / "right", {"model_type": "llava"}, processor, name)
    for directory in (left, right):
        (directory / "model.safetensors").write_bytes(b"\0" * 1000)
    assert models.revision_of(left) == models.revision_of(right)
    (right / "model.safetensors").write_bytes(b"\0" * 999 + b"\1")
    assert models.revision_of(left) != models.revision_of(right)


def test_a_hub_snapshot_is_known_by_its_commit(tmp_path: Path) -> None:
    commit = "0123456789abcdef" * 2 + "01234567"
    directory = tmp_path / "models--a--b" / "snapshots" / commit
    directory.mkdir(parents=True)
    assert models.revision_of(directory) == commit


@pytest.mark.parametrize("value", ["lava", "/no/such/directory", "./nothing", "a/b/c"])
def test_what_is_no_model_is_refused_with_the_names_there_are(value: str) -> None:
    with pytest.raises(InputError, match="llava-shapes"):
        models.find(value)


def test_a_directory_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no config\.json"):
        models.find(str(tmp_path))
    bert = write_model(tmp_path / "bert", {"model_type": "bert"}, None, "")
    with pytest.raises(InputError, match="'bert'"):
        models.find(str(bert))
    blind = write_model(tmp_path / "blind", {"model_type": "llava"}, None, "")
    with pytest.raises(InputError, match="no image processor"):
        models.find(str(blind))
