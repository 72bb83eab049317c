"""Captions by transformers: batching, seeds, stops, and one bad request among good ones."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mama_augment.caption.engines import EngineConfig
from mama_augment.caption.engines.base import (
    CaptionRequest,
    ChatConfig,
    Completion,
    EngineError,
    Result,
    SamplingConfig,
)
from mama_augment.caption.engines.chat import Chat, ThreadsChat, load_processor
from mama_augment.caption.engines.drawing import SeededDraw
from mama_augment.caption.engines.transformers import TransformersEngine
from mama_augment.caption.engines.transformers_args import check
from mama_augment.core.errors import InputError
from tests.augment.tiny_models import requests


def engine(directory: Path, batch_size: int = 4) -> TransformersEngine:
    return TransformersEngine(
        EngineConfig(name="transformers", model=str(directory), batch_size=batch_size)
    )


def texts(results: dict[str, Result]) -> dict[str, list[str]]:
    return {
        request_id: [c.text for c in result]
        for request_id, result in results.items()
        if not isinstance(result, EngineError)
    }


def test_every_request_is_answered_once_with_its_n_captions(tiny_llava: Path) -> None:
    asked = requests(7, n=3, temperature=1.0)
    answers = list(engine(tiny_llava, batch_size=4).generate(asked))
    assert sorted(request_id for request_id, _ in answers) == sorted(r.request_id for r in asked)
    for _, result in answers:
        assert isinstance(result, list)
        assert len(result) == 3
        assert all(isinstance(c, Completion) for c in result)


def test_at_batch_1_a_caption_does_not_depend_on_what_was_asked_before(tiny_llava: Path) -> None:
    asked = requests(4, temperature=0.7)
    alone = engine(tiny_llava, batch_size=1)
    forwards = dict(alone.generate(asked))
    assert dict(alone.generate(reversed(asked))) == forwards
    assert len({t[0] for t in texts(forwards).values()}) == 4  # noise pictures differ


def test_a_seed_is_a_caption_and_caption_i_has_seed_plus_i(tiny_llava: Path) -> None:
    (request,) = requests(1, n=3, temperature=1.5)
    alone = engine(tiny_llava, batch_size=1)
    together = texts(dict(alone.generate([request])))["0"]
    for index in range(3):
        single = replace(request, seed=request.seed + index, n=1)
        assert texts(dict(alone.generate([single])))["0"] == [together[index]]
    assert len(set(together)) > 1


def test_token_counts_and_the_reason_of_the_end(tiny_llava: Path) -> None:
    captioner = engine(tiny_llava)
    (result,) = dict(captioner.generate(requests(1, max_tokens=5))).values()
    assert isinstance(result, list)
    text_tokens = captioner.processor.tokenizer(
        Chat(captioner.processor, ChatConfig()).text(requests(1)[0])
    )
    # One token stands for the picture in the text; in truth it takes 4 x 4 patches.
    assert result[0].num_prompt_tokens == len(text_tokens["input_ids"]) + 16 - 1
    stopped = result[0].finish_reason == "stop"
    assert stopped or result[0].num_output_tokens == 5


def test_a_model_that_stops_at_once_says_nothing_and_says_why(tiny_llava: Path) -> None:
    captioner = engine(tiny_llava)
    # Whatever it would say first becomes a stop.
    captioner.stop_ids = list(range(len(captioner.processor.tokenizer)))
    (result,) = dict(captioner.generate(requests(1))).values()
    assert isinstance(result, list)
    assert (result[0].text, result[0].num_output_tokens) == ("", 1)
    assert result[0].finish_reason == "stop"


def test_a_prompt_that_is_too_long_is_rejected_and_its_batch_is_not(tiny_llava: Path) -> None:
    asked = requests(4)
    asked[2] = replace(asked[2], prompt="word " * 2000)
    results = dict(engine(tiny_llava).generate(asked))
    error = results["2"]
    assert isinstance(error, EngineError)
    assert (error.verdict, error.reason) == ("rejected", "prompt_too_long")
    assert "1,024" in error.message
    assert len(texts(results)) == 3


def test_a_request_that_breaks_the_processor_fails_alone(tiny_llava: Path) -> None:
    asked = requests(5)
    nothing = asked[1].shown.images[0][:, :0]
    asked[1] = replace(asked[1], shown=replace(asked[1].shown, images=(nothing,)))
    results = dict(engine(tiny_llava).generate(asked))
    error = results["1"]
    assert isinstance(error, EngineError)
    assert error.verdict == "failed"
    assert sorted(texts(results)) == ["0", "2", "3", "4"]


def test_out_of_memory_halves_the_batch_and_loses_nothing(
    tiny_llava: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captioner = engine(tiny_llava, batch_size=8)
    sizes: list[int] = []
    generate = captioner.model.generate

    def too_much(**inputs: Any) -> torch.Tensor:
        sizes.append(len(inputs["input_ids"]))
        if sizes[-1] > 2:
            raise RuntimeError(
                "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough"
                " memory: you tried to allocate 99999999999 bytes."
            )
        return generate(**inputs)

    monkeypatch.setattr(captioner.model, "generate", too_much)
    results = dict(captioner.generate(requests(20)))
    assert len(texts(results)) == 20
    assert captioner.batch_size == 2
    assert sizes[-1] <= 2


def test_out_of_memory_for_one_row_alone_fails_that_row(
    tiny_llava: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captioner = engine(tiny_llava, batch_size=2)

    def always(**inputs: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(captioner.model, "generate", always)
    for result in dict(captioner.generate(requests(3))).values():
        assert isinstance(result, EngineError)
        assert (result.verdict, result.reason) == ("failed", "out_of_memory")


def test_a_model_that_transformers_cannot_load_is_refused_with_a_way_out(
    tiny_llava: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_llava, tmp_path / "blind")
    for template in (tmp_path / "blind").glob("*.jinja"):
        template.unlink()
    with pytest.raises(InputError, match="no chat template"):
        engine(tmp_path / "blind")
    shutil.copytree(tiny_llava, tmp_path / "new")
    config = json.loads((tiny_llava / "config.json").read_text())
    config |= {"model_type": "brand_new", "auto_map": {"AutoConfig": "brand_new.Config"}}
    (tmp_path / "new" / "config.json").write_text(json.dumps(config))
    asked = EngineConfig(name="transformers", model=str(tmp_path / "new"))
    with pytest.raises(InputError, match=r"'brand_new'.*--trust-remote-code"):
        check(asked, SamplingConfig())
    with pytest.raises(InputError, match="no video processor"):
        TransformersEngine(EngineConfig(name="transformers", model=str(tiny_llava), input="video"))


def test_requests_are_taken_as_they_are_needed(tiny_llava: Path) -> None:
    taken: list[str] = []

    def source() -> Iterator[CaptionRequest]:
        for request in requests(40):
            taken.append(request.request_id)
            yield request

    results = engine(tiny_llava, batch_size=4).generate(source())
    next(results)
    assert len(taken) <= 3 * 4  # this batch, the one being prepared, the one being collected
    results.close()


def test_draws_follow_the_distribution_and_top_p_cuts_its_tail() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]])).repeat(4000, 1)
    seeds = list(range(4000))

    def shares(temperature: float, top_p: float) -> torch.Tensor:
        drawn = SeededDraw(seeds, temperature, top_p)(torch.empty(0), logits).argmax(-1)
        return torch.bincount(drawn, minlength=4) / 4000

    torch.testing.assert_close(
        shares(1.0, 1.0), torch.tensor([0.5, 0.3, 0.15, 0.05]), atol=0.03, rtol=0
    )
    squared = torch.tensor([0.25, 0.09, 0.0225, 0.0025])
    torch.testing.assert_close(shares(0.5, 1.0), squared / squared.sum(), atol=0.03, rtol=0)
    torch.testing.assert_close(
        shares(1.0, 0.75), torch.tensor([0.625, 0.375, 0, 0]), atol=0.03, rtol=0
    )


def test_several_threads_prepare_what_one_does(tiny_llava: Path) -> None:
    """Fast tokenizers refuse to be used by two threads at once."""
    processor = load_processor(str(tiny_llava))
    asked = [requests(4, prompt="describe " * (1 + i % 7)) for i in range(40)]
    chat, shared = Chat(processor, ChatConfig()), ThreadsChat(processor, ChatConfig())
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(shared, asked))
    for each, batch in zip(found, asked, strict=True):
        alone = chat(batch)
        assert torch.equal(each["input_ids"], alone["input_ids"])
        assert torch.equal(each["pixel_values"], alone["pixel_values"])
