"""What a model's name means, and what a person reads when it is not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mama_augment.caption.engines import models
from mama_augment.core.errors import InputError


def write_model(directory: Path, config: dict, processor: dict | None, name: str) -> Path:
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(config))
    if processor is not None:
        (directory / name).write_text(json.dumps(processor))
    return directory


@pytest.mark.parametrize(
    ("model_type", "config", "processor", "size_px"),
    [
        ("llava", {}, {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}},
         (336, 336)),
        ("llava", {}, {"size": {"shortest_edge": 224}, "do_center_crop": False}, (224, 224)),
        ("llava_next", {}, {"size": {"shortest_edge": 336}, "crop_size": {"height": 336,
         "width": 336}}, (672, 672)),
        ("llava_onevision", {}, {"size": {"height": 384, "width": 384}}, (768, 768)),
        ("qwen2_5_vl", {}, {"patch_size": 14, "merge_size": 2, "size": {"shortest_edge": 3136}},
         (672, 672)),
        ("qwen3_vl", {}, {"patch_size": 16, "merge_size": 2}, (768, 768)),
        ("internvl", {}, {"size": {"height": 448, "width": 448}}, (896, 896)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("nested", [False, True])
def test_the_picture_size_comes_from_the_models_own_processor(
    tmp_path: Path, model_type: str, config: dict, processor: dict, size_px: tuple, nested: bool
) -> None:
    name = "processor_config.json" if nested else "preprocessor_config.json"
    content = {"image_processor": processor} if nested else processor
    path = write_model(tmp_path / "m", {"model_type": model_type, **config}, content, name)
    assert models.find(str(path)).size_px == size_px


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
