"""Families of models, in every input that each of them takes, through transformers and vLLM."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from mama_augment.caption import models
from mama_augment.caption.engines import EngineConfig, make_engine
from mama_augment.caption.engines.base import (
    CaptionRequest,
    ChatConfig,
    EngineError,
    SamplingConfig,
)
from mama_augment.caption.engines.chat import Chat, load_processor, metadata_of, video_of
from mama_augment.caption.engines.transformers_args import check
from mama_augment.caption.input.control import control_tokens
from mama_augment.caption.input.present import show
from mama_augment.caption.models.families import FAMILIES
from mama_augment.core.errors import InputError
from tests.augment import architectures

CASES = [(name, input) for name in architectures.MAKERS for input in FAMILIES[name].inputs]
KINDS = {
    ("llava", "grid"),
    ("llava_next", "images"),
    ("qwen3_vl", "video"),
    ("gemma3", "grid"),
    ("mistral3", "images"),
}
"""One of each kind: a fixed picture, tiles, a video, a beginning token in the template, and rows of
a picture that end with a token."""
EACH = [
    pytest.param(*case, marks=() if case in KINDS else pytest.mark.slow, id="-".join(case))
    for case in CASES
]
Make = Callable[[str], models.Model]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    folder = tmp_path_factory.mktemp("families")

    @functools.cache
    def made(name: str) -> models.Model:
        return models.find(str(architectures.make(name, folder / name)))

    return made


def jpegs(number: int = 4) -> list[bytes]:
    """Frames that differ in colour and texture."""
    rng = np.random.default_rng(7)
    frames = rng.integers(0, 256, (number, 4, 7, 3)).astype(np.uint8)
    large = [cv2.resize(f, (56, 32), interpolation=cv2.INTER_NEAREST) for f in frames]
    return [cv2.imencode(".jpg", image)[1].tobytes() for image in large]


def request(
    model: models.Model,
    input: str,
    prompt: str = "describe the video",
    frames: list[bytes] | None = None,
    **how: Any,
) -> CaptionRequest:
    shown = show(frames or jpegs(), [0.0, 0.4, 1.2, 2.0], input=input, layout=None, size=model.size)
    sampling = SamplingConfig(**{"temperature": 1.0, "max_tokens": 6, **how})
    return CaptionRequest(
        request_id="0", shown=shown, prompt=prompt, sampling=sampling, seed=3, n=2
    )


def chat_of(model: models.Model, **config: Any) -> Chat:
    return Chat(load_processor(model.directory), ChatConfig(**config))


def start(model: models.Model, engine: str, input: str) -> Any:
    return make_engine(
        EngineConfig(name=engine, model=model.directory, batch_size=2, max_in_flight=4, input=input)
    )


def test_every_family_that_has_a_short_name_is_tested() -> None:
    known = {alias.model_type for alias in models.ALIASES.values()}
    assert known - architectures.MAKERS.keys() <= {"gemma4"}


@pytest.mark.parametrize(("name", "input"), CASES)
def test_ids_are_those_of_the_processors_own_chat(make: Make, name: str, input: str) -> None:
    model = make(name)
    chat, asked = chat_of(model), request(make(name), input)
    ids = chat([asked])["input_ids"]
    (message,) = chat.messages(asked)
    images = iter(asked.shown.images)
    for part in message["content"]:
        if part["type"] == "image":
            part["image"] = next(images)
        elif part["type"] == "video":
            part["video"] = video_of(asked.shown)
    given: dict[str, Any] = {"padding": True}
    if input == "video":
        given |= {"video_metadata": [[metadata_of(asked.shown)]], "do_sample_frames": False}
    own = chat.processor.apply_chat_template(
        [[message]], add_generation_prompt=True, tokenize=True, return_dict=True,
        return_tensors="pt", processor_kwargs=given,
    )  # fmt: skip
    assert ids.tolist() == own["input_ids"].tolist()
    bos = chat.processor.tokenizer.bos_token_id
    assert bos is None or (ids == bos).sum() == 1


@pytest.mark.parametrize("name", list(architectures.MAKERS))
def test_text_of_clips_is_never_control(make: Make, name: str) -> None:
    model = make(name)
    chat = chat_of(model)
    tokens = {token for token in control_tokens(chat.processor) if token.strip()}
    known = set(chat.processor.tokenizer.convert_tokens_to_ids(sorted(tokens)))
    assert len(known) > 3

    def counts(prompt: str) -> dict[int, int]:
        ids = chat([request(model, "grid", prompt)])["input_ids"].flatten().tolist()
        return {token: ids.count(token) for token in known}

    # Also one that is left when another is taken out, and one without a space.
    evil = [*sorted(tokens), "<<image>image>", "a<image>b<|im_end|>c"]
    assert counts("describe " + " ".join(evil)) == counts("describe the video")
    said = chat.text(request(model, "grid", "say <image> now"))
    assert "say < image> now" in said


@pytest.mark.parametrize(("name", "input"), CASES)
def test_a_system_prompt_and_template_variables_reach_the_text(
    make: Make, name: str, input: str
) -> None:
    if name in ("llava", "llava_next_video"):
        pytest.skip("this chat format's system turn is plain text before the user's")
    chat = chat_of(make(name), system_prompt="Be brief, please.")
    text = chat.text(request(make(name), input))
    assert text.count("Be brief, please.") == 1
    assert text.index("Be brief") < text.index("describe")


def test_thinking_is_turned_off_by_a_template_variable(make: Make) -> None:
    plain = chat_of(make("qwen3_vl")).text(request(make("qwen3_vl"), "video"))
    quick = chat_of(make("qwen3_vl"), chat_template_kwargs=("enable_thinking=false",))
    assert "</think>" not in plain
    assert quick.text(request(make("qwen3_vl"), "video")) == plain + "<think>\n\n</think>\n\n"


@pytest.mark.parametrize("name", ["qwen3_vl", "gemma3"])
def test_a_variable_that_the_template_does_not_look_at_is_refused(make: Make, name: str) -> None:
    def config(*given: str) -> EngineConfig:
        chat = ChatConfig(chat_template_kwargs=given)
        return EngineConfig(name="transformers", model=make(name).directory, chat=chat)

    own = "enable_thinking" if name == "qwen3_vl" else "none"
    with pytest.raises(InputError, match=rf"enable_thoughts, which.*looks at {own}"):
        check(config("enable_thoughts=false"), SamplingConfig())
    if name == "qwen3_vl":
        check(config("enable_thinking=false"), SamplingConfig())


@pytest.mark.parametrize(("name", "input"), EACH)
def test_order_of_frames_reaches_the_logits(make: Make, name: str, input: str) -> None:
    model = make(name)
    engine = start(model, "transformers", input)
    frames = jpegs()
    swapped = [frames[0], frames[2], frames[1], frames[3]]

    def logits(shown: list[bytes]) -> torch.Tensor:
        inputs = engine.chat([request(model, input, frames=shown)])
        with torch.inference_mode():
            return engine.model(**inputs).logits[0, -1]

    try:
        first = logits(frames)
        assert torch.equal(logits(frames), first)
        moved = (logits(swapped) - first).abs().max().item()
    finally:
        engine.close()
    # Rounding is below 1e-6 at these sizes.
    assert moved > 1e-5, moved


@pytest.mark.parametrize(("name", "input"), EACH)
def test_families_caption_through_transformers(make: Make, name: str, input: str) -> None:
    caption_three(make(name), "transformers", input)


NOT_THROUGH_VLLM = {
    "smolvlm": "its processor needs num2words, which that environment lacks",
    "qwen3_vl_moe": "this miniature does not start in vLLM's CPU build 0.32; not looked into",
    "llava_next_video": "vLLM's core dies on this miniature's video; not looked into",
}
VLLM_CASES = [
    pytest.param(
        *case,
        marks=()
        if case in {("llava_next", "grid"), ("qwen3_vl", "video")}
        else (pytest.mark.vllm_all),
        id="-".join(case),
    )
    for case in CASES
    if case[0] not in NOT_THROUGH_VLLM
]


@pytest.mark.vllm
@pytest.mark.parametrize(("name", "input"), VLLM_CASES)
def test_families_caption_through_vllm(
    make: Make, name: str, input: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    caption_three(make(name), "vllm", input)


def caption_three(model: models.Model, engine_name: str, input: str) -> None:
    """Three clips with two captions each, by an engine that is started for them."""
    engine = start(model, engine_name, input)
    asked = [
        replace(request(model, input, logprobs=True), request_id=str(i), seed=10 * i)
        for i in range(3)
    ]
    try:
        results = dict(engine.generate(asked))
    finally:
        engine.close()
    assert sorted(results) == ["0", "1", "2"]
    # Of the chat that test_ids_are_those_of_the_processors_own_chat holds against transformers.
    num_ids = chat_of(model)(asked[:1])["input_ids"].shape[1]
    for result in results.values():
        assert not isinstance(result, EngineError), result
        assert len(result) == 2
        for completion in result:
            assert completion.num_output_tokens is not None
            assert 1 <= completion.num_output_tokens <= 6
            assert completion.num_prompt_tokens == num_ids
            # Drawn from a nearly flat distribution of a few hundred tokens.
            assert completion.mean_logprob is not None
            assert -9 < completion.mean_logprob < -3
