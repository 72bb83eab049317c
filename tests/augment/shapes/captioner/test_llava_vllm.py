"""The bundled captioner in a real vLLM: its files load there, and it says the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from mama_augment.caption.engines import EngineConfig, make_engine
from mama_augment.caption.engines.base import CaptionRequest, SamplingConfig
from mama_augment.caption.input.shown import Shown
from mama_augment.shapes.captioner.clips import clip_grid
from mama_augment.shapes.captioner.evaluate import BUNDLED, PROMPT, Captioner
from mama_augment.shapes.world.config import WorldConfig
from mama_augment.shapes.world.make import make_world

pytestmark = pytest.mark.vllm


def test_vllm_and_transformers_give_the_same_captions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    config = WorldConfig(seed=4242, num_videos=16, zipf_exponent=0, meta=0, val=0, test=0)
    make_world(tmp_path / "world", config)
    captioner = Captioner(BUNDLED)
    videos = sorted((tmp_path / "world" / "videos").glob("*.mp4"))
    grids = [clip_grid(video, captioner.size_px, "peaks") for video in videos]
    requests = [
        CaptionRequest(
            request_id=str(i),
            shown=Shown(input="grid", images=(grid,)),
            prompt=PROMPT,
            sampling=SamplingConfig(temperature=0.0, max_tokens=32),
            seed=0,
        )
        for i, grid in enumerate(grids)
    ]
    engine = make_engine(EngineConfig(name="vllm", model=str(BUNDLED), max_in_flight=8))
    try:
        results = dict(engine.generate(requests))
    finally:
        engine.close()
    said = [results[str(i)] for i in range(len(grids))]
    texts = [result[0].text.strip() for result in said if isinstance(result, list)]
    assert texts == captioner(grids)
    assert len(set(texts)) > 12  # of 16 clips: it looks at them
