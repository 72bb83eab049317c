"""Captions by Hugging Face transformers: batched, on a GPU or a CPU, nothing else needed."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from mama_augment.caption.engines import EngineConfig
from mama_augment.caption.engines.base import CaptionRequest, Completion, EngineError, Result
from mama_augment.caption.engines.chat import (
    ThreadsChat,
    context_length,
    load_errors,
    load_processor,
    quiet_loading,
)
from mama_augment.caption.engines.drawing import Confidence, SeededDraw
from mama_augment.caption.engines.transformers_args import generation_config
from mama_augment.core.errors import InputError
from mama_augment.runtime.prefetch import prefetch

if TYPE_CHECKING:
    from transformers import BatchFeature


MOST_THREADS = 4
"""Threads that prepare batches ahead of a GPU."""


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
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._threads_before = torch.get_num_threads()
        if self.device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
            # One core stays free for the pictures of the next batch: torch's threads spin while
            # they wait for each other, so that one core too many costs more than one too few.
            torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) - 1))
        self.processor = load_processor(config.model, trust_remote_code=config.trust_remote_code)
        _check_input(self.processor, config)
        # Half precision is slower than single on most CPUs, and less exact.
        dtype: Any = "auto" if self.device.type == "cuda" else torch.float32
        self.model = _load_model(config, {"dtype": dtype, **config.more})
        if "device_map" not in config.more and not getattr(self.model, "hf_quantizer", None):
            self.model.to(self.device)
        self.device = self.model.device
        self.model.eval()
        self.batch_size = config.batch_size
        self.max_context = context_length(self.model.config, config.input)
        tokenizer = self.processor.tokenizer
        tokenizer.padding_side = "left"  # rows must end where generation starts
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        self.stop_ids = _stop_ids(self.model, tokenizer)
        self.chat = ThreadsChat(self.processor, config.chat)
        # Without a GPU the model itself wants all processors.
        cpus = len(os.sched_getaffinity(0))
        self._num_threads = 1 if self.device.type == "cpu" else max(1, min(MOST_THREADS, cpus // 2))

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
        number = self._num_threads
        batches = self._batches(requests)
        for batch in prefetch(self._prepare, batches, num_threads=number, lookahead=number):
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
        return self.chat(requests)

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
        from transformers import LogitsProcessorList

        sampling = batch.requests[0].sampling
        how, warpers = generation_config(
            sampling.more,
            max_new_tokens=sampling.max_tokens,
            eos_token_id=self.stop_ids,
            pad_token_id=self.processor.tokenizer.pad_token_id,
        )
        seeds = [r.seed + i for r, i in zip(batch.requests, batch.indices, strict=True)]
        processors = LogitsProcessorList()
        confidence = Confidence(self.stop_ids) if sampling.logprobs else None
        if confidence is not None:
            processors.append(confidence)
        if sampling.temperature > 0:
            processors.append(SeededDraw(seeds, sampling.temperature, sampling.top_p, warpers))
        # Pixels in the weights' precision; ids stay integers.
        moved = inputs.to(self.device, dtype=self.model.dtype)
        extra = {"tokenizer": self.processor.tokenizer} if how.stop_strings else {}
        output = self.model.generate(
            **moved, generation_config=how, logits_processor=processors, **extra
        )
        new_ids = output[:, inputs["input_ids"].shape[1] :].tolist()
        prompt_lengths = inputs["attention_mask"].sum(1).tolist()
        means = confidence.means(output) if confidence is not None else [None] * len(new_ids)
        return [
            self._completion(ids, num, mean)
            for ids, num, mean in zip(new_ids, prompt_lengths, means, strict=True)
        ]

    def _completion(
        self, ids: list[int], num_prompt_tokens: int, mean_logprob: float | None
    ) -> Completion:
        stop = next((i for i, token in enumerate(ids) if token in self.stop_ids), None)
        kept = ids if stop is None else ids[:stop]
        text = self.processor.tokenizer.decode(kept, skip_special_tokens=True)
        return Completion(
            # max_tokens may cut a character's bytes in two; half a character is none.
            text=text.rstrip("\ufffd").strip(),
            num_prompt_tokens=num_prompt_tokens,
            num_output_tokens=len(ids) if stop is None else stop + 1,
            finish_reason="length" if stop is None else "stop",
            mean_logprob=mean_logprob,
        )


def _load_model(config: EngineConfig, arguments: dict[str, Any]) -> Any:
    """The model, by the class that captions pictures; a repository's own code may name another.

    Raises:
        InputError: transformers cannot load it, or does not know an argument.
    """
    import transformers

    auto_map: Any = {}
    with quiet_loading(), load_errors(config.model, "model"):
        if config.trust_remote_code:
            found = transformers.AutoConfig.from_pretrained(config.model, trust_remote_code=True)
            auto_map = getattr(found, "auto_map", None) or {}
        names = ("AutoModelForImageTextToText", "AutoModelForCausalLM", "AutoModel")
        name = next((n for n in names if n in auto_map), names[0])
        try:
            return getattr(transformers, name).from_pretrained(
                config.model,
                trust_remote_code=config.trust_remote_code,
                **{"use_safetensors": True, **arguments},
            )
        except TypeError as error:
            raise InputError(f"--engine-args: transformers says: {error}") from error


def _check_input(processor: Any, config: EngineConfig) -> None:
    """Refuse an input that the processor has no part for.

    Raises:
        InputError: naming the input.
    """
    part = "video_processor" if config.input == "video" else "image_processor"
    if getattr(processor, part, None) is None:
        raise InputError(
            f"--input {config.input}: {type(processor).__name__} of {config.model!r} has no "
            f"{part.replace('_', ' ')}; take another --input"
        )


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
