"""Every family that has an alias captions a grid of its own size, through both engines."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from mama_augment.caption.engines import EngineConfig, make_engine, models
from mama_augment.caption.engines.base import EngineError
from tests.augment import architectures
from tests.augment.tiny_models import requests

NEEDS_TORCHVISION = ("llava_onevision", "qwen2_5_vl", "qwen3_vl", "internvl")


def test_every_known_architecture_is_tested() -> None:
    assert set(architectures.MAKERS) == set(models.ARCHITECTURES)


def caption_three(model_type: str, engine_name: str, directory: Path) -> None:
    if model_type in NEEDS_TORCHVISION and importlib.util.find_spec("torchvision") is None:
        pytest.skip("this family's processor needs torchvision")
    model = models.find(str(architectures.make(model_type, directory / model_type)))
    width, height = model.size_px
    assert width == height
    engine = make_engine(
        EngineConfig(name=engine_name, model=model.directory, batch_size=2, max_in_flight=4)
    )
    try:
        asked = requests(3, size_px=width, n=2, temperature=1.0, max_tokens=6)
        results = dict(engine.generate(asked))
    finally:
        engine.close()
    assert sorted(results) == ["0", "1", "2"]
    for result in results.values():
        assert not isinstance(result, EngineError), result
        assert len(result) == 2
        for completion in result:
            assert completion.num_output_tokens is not None
            assert 1 <= completion.num_output_tokens <= 6
            assert completion.num_prompt_tokens is not None
            assert completion.num_prompt_tokens > 5


@pytest.mark.parametrize("model_type", ["llava", "llava_next"])
def test_families_caption_through_transformers(model_type: str, tmp_path: Path) -> None:
    caption_three(model_type, "transformers", tmp_path)


@pytest.mark.vllm
@pytest.mark.parametrize("model_type", NEEDS_TORCHVISION)
def test_families_with_torchvision_caption_through_transformers(
    model_type: str, tmp_path: Path
) -> None:
    caption_three(model_type, "transformers", tmp_path)


ONE_OF_A_KIND = ("llava_next", "qwen2_5_vl")
"""One that tiles its picture, one that takes any size; test_vllm.py has one of a fixed size."""


@pytest.mark.vllm
@pytest.mark.parametrize(
    "model_type",
    [
        name if name in ONE_OF_A_KIND else pytest.param(name, marks=pytest.mark.vllm_all)
        for name in ("llava_next", *NEEDS_TORCHVISION)
    ],
)
def test_families_caption_through_vllm(
    model_type: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    caption_three(model_type, "vllm", tmp_path)
