"""Captions by vLLM in this process: continuous batching that is fed while it generates."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoConfig
from vllm import EngineArgs, ModelRegistry, SamplingParams
from vllm.exceptions import VLLMClientError
from vllm.platforms import current_platform
from vllm.renderers import ChatParams
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.exceptions import EngineDeadError
from vllm.v1.engine.llm_engine import LLMEngine

from mama_augment.caption.engines import EngineConfig
from mama_augment.caption.engines.base import (
    CaptionRequest,
    Completion,
    EngineDiedError,
    EngineError,
    Result,
    SamplingConfig,
)
from mama_augment.caption.engines.chat import check_chat, context_length, load_errors
from mama_augment.caption.engines.feeder import Feeder
from mama_augment.caption.engines.turn import start_turn
from mama_augment.caption.engines.vllm_chat import VllmChat
from mama_augment.caption.input.shown import MOST_SHOWN
from mama_augment.caption.models.safe import read_json
from mama_augment.core.errors import InputError

WAITING = 64
"""Captions that wait inside vLLM beyond those being generated, so that it never runs dry."""
RENDERED_AHEAD = 32
"""Requests tokenized and preprocessed before vLLM has room for them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Rendered:
    """A request with what vLLM wants for it, or why it cannot be asked."""

    request: CaptionRequest
    engine_input: Any = None
    error: EngineError | None = None


class VllmEngine:
    """vLLM's engine, its core in a process of its own, requests streamed in as there is room.

    Tokenizing and picture preprocessing run on a thread of their own, up to `RENDERED_AHEAD`
    requests ahead; this process adds requests and collects outputs between the core's steps.
    """

    def __init__(self, config: EngineConfig) -> None:
        check_architecture(config.model, trust_remote_code=config.trust_remote_code)
        self.max_in_flight = config.max_in_flight + WAITING
        options = engine_options(config)
        with start_turn():
            self.engine = LLMEngine.from_engine_args(EngineArgs(**options))
        self.chat = VllmChat(self.engine.renderer, config.chat, ChatParams)

    def close(self) -> None:
        self.engine.engine_core.shutdown()

    def generate(
        self, requests: Iterable[CaptionRequest]
    ) -> Generator[tuple[str, Result], None, None]:
        """See CaptionEngine."""
        feeder = Feeder(self._render, requests, RENDERED_AHEAD)
        watch = _Watch(self.engine)
        in_flight: dict[str, CaptionRequest] = {}
        num_in_flight = 0
        try:
            while True:
                while num_in_flight < self.max_in_flight:
                    rendered = feeder.next(wait=not in_flight)
                    if rendered is None:
                        break
                    error = rendered.error or self._add(rendered)
                    if error is not None:
                        yield rendered.request.request_id, error
                        continue
                    in_flight[rendered.request.request_id] = rendered.request
                    num_in_flight += rendered.request.n
                if not in_flight:
                    return  # the feeder waited, and had nothing more
                for output in self._step():
                    if output.finished:
                        request = in_flight.pop(output.request_id)
                        num_in_flight -= request.n
                        yield request.request_id, _result(output)
        finally:
            watch.stop()
            feeder.stop()
            if in_flight:  # the consumer gave up, or the core died
                self._abort(list(in_flight))

    def _render(self, request: CaptionRequest) -> _Rendered:
        try:
            return _Rendered(request=request, engine_input=self.chat(request))
        except (VLLMClientError, ValueError) as error:
            return _Rendered(request=request, error=_refusal(error))
        except Exception as error:  # one request's fault never stops the others
            message = f"{type(error).__name__}: {error}"
            failed = EngineError(reason="engine_error", message=message)
            return _Rendered(request=request, error=failed)

    def _add(self, rendered: _Rendered) -> EngineError | None:
        request = rendered.request
        params = sampling_params(request.sampling)
        params.n, params.seed = request.n, request.seed
        params.output_kind = RequestOutputKind.FINAL_ONLY
        try:
            self.engine.add_request(request.request_id, rendered.engine_input, params)
        except EngineDeadError as error:
            raise EngineDiedError(str(error)) from error
        except (VLLMClientError, ValueError) as error:
            return _refusal(error)
        return None

    def _step(self) -> list[Any]:
        try:
            return list(self.engine.step())
        except EngineDeadError as error:
            raise EngineDiedError(str(error)) from error

    def _abort(self, request_ids: list[str]) -> None:
        try:
            self.engine.abort_request(request_ids)
        except EngineDeadError:
            return  # nothing is left to be aborted


class _Watch:
    """Ends the wait for a core that was killed.

    vLLM notices such a death and raises at the next call, but a call that already waits for
    outputs waits for ever: nothing more comes from the dead.
    """

    def __init__(self, engine: LLMEngine) -> None:
        self._core = engine.engine_core
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="vllm-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _work(self) -> None:
        # In-process cores (tensor parallelism under a launcher) have no such state to watch.
        resources = getattr(self._core, "resources", None)
        while resources is not None and not self._stopped.wait(0.2):
            if resources.engine_dead:
                self._core.outputs_queue.put_nowait(EngineDeadError())
                return


def check(config: EngineConfig, sampling: SamplingConfig) -> None:
    """Refuse a model that vLLM cannot serve, and arguments that its classes do not take.

    Raises:
        InputError: naming the architecture or the argument.
    """
    check_architecture(config.model, trust_remote_code=config.trust_remote_code)
    sampling_params(sampling)
    check_chat(config)
    options = engine_options(config)
    try:
        EngineArgs(**options)
    except (VLLMClientError, TypeError, ValueError) as error:
        raise InputError(f"--engine-args: vLLM says: {error}") from error


def sampling_params(sampling: SamplingConfig) -> SamplingParams:
    """vLLM's own; the request's n and seed are still to be set.

    Raises:
        InputError: with vLLM's words.
    """
    try:
        return SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            logprobs=0 if sampling.logprobs else None,
            **sampling.more,
        )
    except (VLLMClientError, TypeError, ValueError) as error:
        raise InputError(f"--sampling-args: vLLM says: {error}") from error


def engine_options(config: EngineConfig) -> dict[str, Any]:
    """What vLLM is started with; `--engine-args` win."""
    with load_errors(config.model, "config"):
        found = AutoConfig.from_pretrained(config.model, trust_remote_code=config.trust_remote_code)
    context = config.more.get("max_model_len") or context_length(found, config.input)
    number = {"grid": 1, "images": MOST_SHOWN, "video": 1}[config.input]
    shown = "video" if config.input == "video" else "image"
    options = {
        "model": config.model,
        "max_model_len": context,
        "max_num_seqs": config.max_in_flight,
        "tensor_parallel_size": config.tensor_parallel,
        "gpu_memory_utilization": config.gpu_memory_share,
        "limit_mm_per_prompt": {"image": 0, "video": 0, shown: number},
        "mm_processor_cache_gb": 0,  # every clip is new: the cache would only grow
        "disable_log_stats": True,
        "trust_remote_code": config.trust_remote_code,
    }
    if current_platform.is_cpu():
        options |= {
            # Half precision is slower there, and compiling takes longer than captioning.
            "dtype": "float32",
            "enforce_eager": True,
            # A prompt cut in two draws once too often; only a GPU's generator can step back.
            "enable_chunked_prefill": False,
            "max_num_batched_tokens": max(2048, context),
        }
    return options | config.more


def check_architecture(directory: str, *, trust_remote_code: bool = False) -> None:
    """Refuse a model that vLLM cannot serve before it is loaded.

    Raises:
        InputError: naming the architecture and the way out.
    """
    config = read_json(Path(directory) / "config.json") or {}
    names = config.get("architectures") or []
    # vLLM runs what it does not know itself through transformers, where that has a class for it.
    if not set(names) & set(ModelRegistry.get_supported_archs()) and not trust_remote_code:
        raise InputError(
            f"vLLM cannot serve {directory!r}: its architecture is "
            f"{', '.join(names) or 'not stated in config.json'}. Use --engine transformers"
        )


def _refusal(error: Exception) -> EngineError:
    """A request that vLLM will not take, this time or any other."""
    message = str(error)
    too_long = "longer than the maximum" in message or "maximum context length" in message
    reason = "prompt_too_long" if too_long else "request_refused"
    return EngineError(reason=reason, message=message)


def _result(output: Any) -> Result:
    """A finished RequestOutput's captions, in the order of their seeds."""
    completions = []
    for part in sorted(output.outputs, key=lambda part: part.index):
        if part.finish_reason not in ("stop", "length"):
            message = f"vLLM ended the request with {part.finish_reason!r}"
            return EngineError(reason="engine_error", message=message)
        completions.append(
            Completion(
                text=part.text.strip(),
                num_prompt_tokens=len(output.prompt_token_ids or ()),
                num_output_tokens=len(part.token_ids),
                finish_reason=part.finish_reason,
                mean_logprob=_mean_logprob(part),
            )
        )
    return completions


def _mean_logprob(part: Any) -> float | None:
    """Of a finished CompletionOutput; None where log-probabilities were not asked for."""
    total, number = part.cumulative_logprob, len(part.token_ids)
    return None if total is None or not part.logprobs or not number else float(total) / number
