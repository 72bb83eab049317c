"""Captions by Hugging Face transformers: batched, on a GPU or a CPU, nothing else needed."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image as PilImage

from mama_augment.caption.engines import EngineConfig
from mama_augment.caption.engines.base import CaptionRequest, Completion, EngineError, Result
from mama_augment.caption.engines.chat import (
    ChatText,
    context_length,
    load_processor,
    quiet_loading,
)
from mama_augment.runtime.prefetch import prefetch

if TYPE_CHECKING:
    from transformers import BatchFeature


@dataclass(frozen=True, kw_only=True, eq=False)
class _Batch:
    """Requests of one caption each, and the processor's tensors for them."""

    requests: list[CaptionRequest]
    indices: list[int]
    """Which caption of its request each row is."""
    inputs: BatchFeature | None
    """None when the processor refused the batch as a whole."""


class TransformersEngine:
    """Fixed batches, generated one after the other while the next one is being prepared.

    Equal text for equal requests is promised at batch size 1; in larger batches padding moves
    sums by rounding errors, which now and then decide between two words.
    """

    def __init__(self, config: EngineConfig) -> None:
        from transformers import AutoModelForImageTextToText

        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._threads_before = torch.get_num_threads()
        if self.device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
            # One core stays free for the pictures of the next batch: torch's threads spin while
            # they wait for each other, so that one core too many costs more than one too few.
            torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) - 1))
        self.processor = load_processor(config.model)
        # Half precision is slower than single on most CPUs, and less exact.
        dtype: Any = "auto" if self.device.type == "cuda" else torch.float32
        with quiet_loading():
            self.model = AutoModelForImageTextToText.from_pretrained(config.model, dtype=dtype)
        self.model.to(self.device).eval()
        self.batch_size = config.batch_size
        self.max_context = context_length(self.model.config)
        tokenizer = self.processor.tokenizer
        tokenizer.padding_side = "left"  # rows must end where generation starts
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        self.stop_ids = _stop_ids(self.model, tokenizer)
        self.chat_text = ChatText(self.processor)

    def close(self) -> None:
        del self.model
        torch.set_num_threads(self._threads_before)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def generate(
        self, requests: Iterable[CaptionRequest]
    ) -> Generator[tuple[str, Result], None, None]:
        """See CaptionEngine; captions of one request may span batches."""
        unfinished: dict[str, list[Completion | EngineError]] = {}
        for batch in prefetch(self._prepare, self._batches(requests), num_threads=1, lookahead=1):
            for request, completion in zip(batch.requests, self._finish(batch), strict=True):
                parts = unfinished.setdefault(request.request_id, [])
                parts.append(completion)
                if len(parts) == request.n:
                    yield request.request_id, _joined(unfinished.pop(request.request_id))
        assert not unfinished, sorted(unfinished)

    def _batches(self, requests: Iterable[CaptionRequest]) -> Iterator[_Batch]:
        rows: list[tuple[CaptionRequest, int]] = []
        for request in requests:
            for index in range(request.n):
                rows.append((request, index))
                if len(rows) >= self.batch_size:
                    yield _batch_of(rows)
                    rows = []
        if rows:
            yield _batch_of(rows)

    def _prepare(self, batch: _Batch) -> _Batch:
        try:
            return replace(batch, inputs=self._preprocess(batch.requests))
        except Exception:
            # One bad row fails the whole call; `_finish` takes the rows one by one and keeps
            # each one's own error.
            return batch

    def _preprocess(self, requests: Sequence[CaptionRequest]) -> BatchFeature:
        return self.processor(
            images=[PilImage.fromarray(request.image) for request in requests],
            text=[self.chat_text(request.prompt) for request in requests],
            padding=True,
            return_tensors="pt",
        )

    def _finish(self, batch: _Batch) -> list[Completion | EngineError]:
        """The batch's captions in order; whatever fails is tried again in smaller batches."""
        inputs = batch.inputs
        try:
            if inputs is None:
                inputs = self._preprocess(batch.requests)
            lengths = inputs["attention_mask"].sum(1)
            longest = int(lengths.max()) + batch.requests[0].sampling.max_tokens
            if longest > self.max_context:
                if len(batch.requests) > 1:
                    return self._halves(batch)
                return [_too_long(int(lengths[0]), batch.requests[0], self.max_context)]
            return self._generate(batch, inputs)
        except Exception as error:
            del inputs  # its memory is wanted for the second try
            if is_out_of_memory(error):
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
                if len(batch.requests) == 1:
                    return [EngineError(reason="out_of_memory", message=str(error))]
                self.batch_size = min(self.batch_size, (len(batch.requests) + 1) // 2)
                return self._halves(batch)
            if len(batch.requests) > 1:
                return self._halves(batch)
            return [EngineError(reason="engine_error", message=f"{type(error).__name__}: {error}")]

    def _halves(self, batch: _Batch) -> list[Completion | EngineError]:
        middle = len(batch.requests) // 2
        parts = (slice(0, middle), slice(middle, None))
        return [
            completion
            for part in parts
            for completion in self._finish(
                _Batch(requests=batch.requests[part], indices=batch.indices[part], inputs=None)
            )
        ]

    @torch.inference_mode()
    def _generate(self, batch: _Batch, inputs: BatchFeature) -> list[Completion | EngineError]:
        from transformers import GenerationConfig, LogitsProcessorList

        sampling = batch.requests[0].sampling
        pad_id = self.processor.tokenizer.pad_token_id
        # A fresh config: a model's own may ask for beams or penalties that the caller did not.
        how = GenerationConfig(
            do_sample=False,
            max_new_tokens=sampling.max_tokens,
            eos_token_id=self.stop_ids,
            pad_token_id=pad_id,
        )
        seeds = [r.seed + i for r, i in zip(batch.requests, batch.indices, strict=True)]
        processors = LogitsProcessorList()
        if sampling.temperature > 0:
            processors.append(SeededDraw(seeds, sampling.temperature, sampling.top_p))
        # Pixels in the weights' precision; ids stay integers.
        moved = inputs.to(self.device, dtype=self.model.dtype)
        output = self.model.generate(**moved, generation_config=how, logits_processor=processors)
        new_ids = output[:, inputs["input_ids"].shape[1] :].tolist()
        prompt_lengths = inputs["attention_mask"].sum(1).tolist()
        return [
            self._completion(ids, num) for ids, num in zip(new_ids, prompt_lengths, strict=True)
        ]

    def _completion(self, ids: list[int], num_prompt_tokens: int) -> Completion:
        stop = next((i for i, token in enumerate(ids) if token in self.stop_ids), None)
        kept = ids if stop is None else ids[:stop]
        text = self.processor.tokenizer.decode(kept, skip_special_tokens=True)
        return Completion(
            # max_tokens may cut a character's bytes in two; half a character is none.
            text=text.rstrip("\ufffd").strip(),
            num_prompt_tokens=num_prompt_tokens,
            num_output_tokens=len(ids) if stop is None else stop + 1,
            finish_reason="length" if stop is None else "stop",
        )


class SeededDraw:
    """Sampling as a logits processor for greedy search, each row from a generator of its own.

    argmax(logits / T + Gumbel noise) is distributed as softmax(logits / T). transformers' own
    sampling draws the whole batch from one global generator, so that a caption would depend on
    its neighbours.
    """

    def __init__(self, seeds: Sequence[int], temperature: float, top_p: float) -> None:
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.temperature = temperature
        self.top_p = top_p

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """scores [batch, vocabulary] -> the same, with noise; -inf stays -inf."""
        logits = scores.float() / self.temperature
        if self.top_p < 1:
            ordered, order = logits.softmax(-1).sort(-1, descending=True)
            # A token is outside when those before it already reach top_p; the first never is.
            outside = ordered.cumsum(-1) - ordered >= self.top_p
            logits = logits.masked_fill(outside.scatter(-1, order, outside), -torch.inf)
        uniform = torch.stack(
            [torch.rand(logits.shape[1], generator=generator) for generator in self.generators]
        )
        noise = -torch.log(-torch.log(uniform.clamp(1e-20, 1 - 1e-7)))
        return logits + noise.to(logits.device)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on a GPU or on the host."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in said or "can't allocate memory" in said or "not enough memory" in said
    )


def _batch_of(rows: list[tuple[CaptionRequest, int]]) -> _Batch:
    return _Batch(requests=[r for r, _ in rows], indices=[i for _, i in rows], inputs=None)


def _joined(parts: list[Completion | EngineError]) -> Result:
    errors = [part for part in parts if isinstance(part, EngineError)]
    return errors[0] if errors else [part for part in parts if isinstance(part, Completion)]


def _stop_ids(model: Any, tokenizer: Any) -> list[int]:
    stop = model.generation_config.eos_token_id
    ids = set(stop if isinstance(stop, list) else [stop]) | {tokenizer.eos_token_id}
    return sorted(i for i in ids if i is not None)


def _too_long(num_tokens: int, request: CaptionRequest, max_context: int) -> EngineError:
    return EngineError(
        reason="prompt_too_long",
        message=(
            f"the prompt and the picture take {num_tokens:,} tokens; with --max-tokens "
            f"{request.sampling.max_tokens} that exceeds the model's context of {max_context:,}"
        ),
    )
