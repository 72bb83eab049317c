"""Captions by a real vLLM; on the CPU build these take a minute or two."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mama_augment.caption.engines import EngineConfig, make_engine
from mama_augment.caption.engines.base import (
    CaptionEngine,
    CaptionRequest,
    EngineError,
    Result,
    SamplingConfig,
)
from mama_augment.caption.engines.supervised import SupervisedEngine
from mama_augment.core.errors import InputError
from tests.augment.tiny_models import requests

pytestmark = pytest.mark.vllm


def config_of(directory: Path) -> EngineConfig:
    return EngineConfig(name="vllm", model=str(directory), max_in_flight=8)


@pytest.fixture(scope="module", autouse=True)
def _small_cache() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    yield
    patch.undo()


@pytest.fixture(scope="module")
def engine(tiny_llava: Path) -> Iterator[CaptionEngine]:
    started = make_engine(config_of(tiny_llava))
    yield started
    started.close()


def texts(results: dict[str, Result]) -> dict[str, list[str]]:
    return {
        request_id: [c.text for c in result]
        for request_id, result in results.items()
        if not isinstance(result, EngineError)
    }


def test_every_request_is_answered_once_with_its_n_captions(engine: CaptionEngine) -> None:
    asked = requests(30, n=2, temperature=1.0)
    answers = list(engine.generate(asked))
    assert sorted(request_id for request_id, _ in answers) == sorted(r.request_id for r in asked)
    assert all(len(result) == 2 for _, result in answers if isinstance(result, list))
    assert len(texts(dict(answers))) == 30


def test_a_seed_is_a_caption_and_caption_i_has_seed_plus_i(engine: CaptionEngine) -> None:
    (request,) = requests(1, n=3, temperature=1.5)
    together = texts(dict(engine.generate([request])))["0"]
    for index in range(3):
        single = replace(request, seed=request.seed + index, n=1)
        assert texts(dict(engine.generate([single])))["0"] == [together[index]]
    assert len(set(together)) > 1


def test_greedy_captions_are_those_of_transformers(engine: CaptionEngine, tiny_llava: Path) -> None:
    asked = requests(12)
    other = make_engine(EngineConfig(name="transformers", model=str(tiny_llava), batch_size=1))
    by_vllm, by_transformers = dict(engine.generate(asked)), dict(other.generate(asked))
    same = [by_vllm[r.request_id] == by_transformers[r.request_id] for r in asked]
    # Equal text is not promised between engines: sums are rounded in another order. Equal token
    # counts are, and most of a random model's greedy choices are no ties.
    assert sum(same) >= 9
    for request in asked:
        left, right = by_vllm[request.request_id], by_transformers[request.request_id]
        assert isinstance(left, list)
        assert isinstance(right, list)
        assert left[0].num_prompt_tokens == right[0].num_prompt_tokens


def test_requests_that_cannot_be_served_are_rejected_alone(engine: CaptionEngine) -> None:
    asked = requests(6)
    asked[3] = replace(asked[3], prompt="word " * 2000)
    results = dict(engine.generate(asked))
    error = results["3"]
    assert isinstance(error, EngineError)
    assert (error.verdict, error.reason) == ("rejected", "prompt_too_long")
    assert len(texts(results)) == 5


def test_an_error_of_the_source_surfaces_and_the_engine_lives_on(engine: CaptionEngine) -> None:
    def source() -> Iterator[CaptionRequest]:
        yield from requests(3)
        raise OSError("the clips are gone")

    with pytest.raises(OSError, match="the clips are gone"):
        list(engine.generate(source()))
    assert len(texts(dict(engine.generate(requests(3))))) == 3


def core_processes(engine: Any) -> list[int]:
    """The processes that vLLM started for an engine, by asking the system."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    return [int(line.split()[0]) for line in listed if "EngineCore" in line]


def test_a_core_that_is_killed_is_replaced_and_nothing_is_lost(
    tiny_llava: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_starts = 0

    def start(config: EngineConfig) -> CaptionEngine:
        nonlocal num_starts
        num_starts += 1
        return make_engine(config)

    supervised = SupervisedEngine(config_of(tiny_llava), start)
    answers: list[tuple[str, Result]] = []
    before = set(core_processes(None))
    try:
        for answer in supervised.generate(requests(40, max_tokens=16)):
            answers.append(answer)
            if len(answers) == 5 and num_starts == 1:
                (core,) = set(core_processes(None)) - before
                os.kill(core, signal.SIGKILL)
    finally:
        supervised.close()
    assert num_starts == 2
    assert sorted(int(request_id) for request_id, _ in answers) == list(range(40))
    assert len(texts(dict(answers))) == 40


def test_a_model_that_vllm_cannot_serve_is_refused_before_it_is_loaded(
    tiny_llava: Path, tmp_path: Path
) -> None:
    from mama_augment.caption.engines.vllm import check_architecture

    config = json.loads((tiny_llava / "config.json").read_text())
    config["architectures"] = ["NoSuchForConditionalGeneration"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"NoSuchForConditionalGeneration.*--engine transformers"):
        check_architecture(str(tmp_path))
    check_architecture(str(tiny_llava))


@pytest.mark.parametrize(
    ("sampling_args", "engine_args", "says"),
    [
        (("no_such_thing=1",), (), r"(?s)vLLM says.*no_such_thing"),
        (("top_k=-3",), (), r"(?s)vLLM says.*top_k"),
        ((), ("no_such_thing=1",), r"(?s)vLLM says.*no_such_thing"),
        ((), ("tensor_parallel_size=2",), "sets itself"),
    ],
)
def test_arguments_that_vllm_does_not_take_are_refused_in_its_words(
    tiny_llava: Path, sampling_args: tuple[str, ...], engine_args: tuple[str, ...], says: str
) -> None:
    from mama_augment.caption.engines.vllm import check

    config = replace(config_of(tiny_llava), engine_args=engine_args)
    with pytest.raises(InputError, match=says):
        check(config, SamplingConfig(sampling_args=sampling_args))
    check(
        replace(config, engine_args=("max_model_len=512", "quantization=fp8")),
        SamplingConfig(sampling_args=("repetition_penalty=1.1", "top_k=5")),
    )


def test_sampling_arguments_and_log_probabilities_reach_vllm(engine: CaptionEngine) -> None:
    (request,) = requests(1, n=4, temperature=1.5)
    sampling = replace(request.sampling, sampling_args=("top_k=1",), logprobs=True)
    ((_, result),) = engine.generate([replace(request, sampling=sampling)])
    assert isinstance(result, list)
    assert len({c.text for c in result}) == 1  # the likeliest, whatever the temperature
    assert all(c.mean_logprob is not None and -9 < c.mean_logprob < 0 for c in result)
