"""Captions by any server that speaks OpenAI's chat protocol, such as `vllm serve`."""

from __future__ import annotations

import http.client
import json
import logging
import os
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any

from mama_augment.caption.engines import EngineConfig
from mama_augment.caption.engines.base import (
    CaptionRequest,
    EngineDiedError,
    EngineError,
    Result,
)
from mama_augment.caption.engines.openai_chat import (
    UnfinishedAnswerError,
    completions_of,
    messages_of,
    model_names,
)
from mama_augment.caption.models import Model, served
from mama_augment.core.errors import InputError

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 6
FIRST_PAUSE_SECONDS = 0.5
"""Doubled after each attempt, unless the server names a time itself: 15 s in all."""
MAX_PAUSE_SECONDS = 30.0
REFUSED_WORDS = (
    "unsupported",
    "not supported",
    "unrecognized",
    "unknown",
    "not permitted",
    "extra",
)
"""With these a server says that it does not know a parameter."""
QUOTA_WORDS = ("insufficient_quota", "insufficient credits", "exceeded your current quota")


class ServerRefusalError(Exception):
    """The server answered, and said no: its status and its words."""

    def __init__(self, status: int, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message
        self.retry_after = retry_after

    @property
    def is_passing(self) -> bool:
        """Whether the same request may succeed later."""
        return not self.is_quota and (self.status in (408, 409, 429) or self.status >= 500)

    @property
    def is_quota(self) -> bool:
        """Whether nothing is answered before somebody pays."""
        said = self.message.lower()
        return self.status == 402 or (
            self.status in (403, 429) and any(word in said for word in QUOTA_WORDS)
        )


class OpenAIEngine:
    """A bounded number of requests at once, each retried with growing pauses.

    A server that cannot be reached at all counts as dead: nothing is marked as failed for it.
    The key, where one is needed, is read from the environment variable OPENAI_API_KEY.
    """

    def __init__(self, config: EngineConfig, pause: Callable[[float], None] = time.sleep) -> None:
        self.config = config
        self._pause = pause
        self._ended = threading.Event()
        self._adapted: frozenset[str] = frozenset()

    def close(self) -> None:
        """Nothing is held open between requests."""

    def generate(
        self, requests: Iterable[CaptionRequest]
    ) -> Generator[tuple[str, Result], None, None]:
        """See CaptionEngine."""
        source = iter(requests)
        running: dict[Future[Result], CaptionRequest] = {}
        num_captions = 0
        self._ended.clear()
        pool = ThreadPoolExecutor(self.config.max_in_flight, thread_name_prefix="openai")
        try:
            while True:
                while num_captions < self.config.max_in_flight:
                    request = next(source, None)
                    if request is None:
                        break
                    running[pool.submit(self._ask, request)] = request
                    num_captions += request.n
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    request = running.pop(future)
                    num_captions -= request.n
                    yield request.request_id, future.result()
        finally:
            self._ended.set()
            pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, request: CaptionRequest) -> Result:
        """All captions of one request; servers that give fewer than n are asked one by one."""
        given = self._choices(request)
        if isinstance(given, EngineError) or len(given) >= request.n:
            return given if isinstance(given, EngineError) else given[: request.n]
        for index in range(len(given), request.n):
            more = self._choices(replace(request, seed=request.seed + index, n=1))
            if isinstance(more, EngineError):
                return more
            if not more:
                return EngineError(reason="engine_error", message="the server gave no choice")
            given.append(more[0])
        return given

    def _choices(self, request: CaptionRequest) -> Result:
        url = f"{self.config.base_url.rstrip('/')}/chat/completions"
        body = body_of(request, self.config)
        seconds = FIRST_PAUSE_SECONDS
        attempt = 0
        while attempt < MAX_ATTEMPTS:
            attempt += 1
            try:
                return self._adapting(url, body)
            except ServerRefusalError as refusal:
                if not refusal.is_passing:
                    return refusal_of(refusal)
                error: Exception = refusal
                # Too many at once is no clip's fault: it waits as long as the stream is wanted.
                attempt -= refusal.status == 429 and not self._ended.is_set()
                seconds = refusal.retry_after or seconds
            except (TimeoutError, UnfinishedAnswerError) as passing:
                error = passing
            except (OSError, http.client.HTTPException) as broken:
                error = broken
            if attempt < MAX_ATTEMPTS:
                self._pause(min(seconds, MAX_PAUSE_SECONDS))
                seconds *= 2
        for kind, reason in PASSING:
            if isinstance(error, kind):
                return EngineError(reason=reason, message=f"{error} ({MAX_ATTEMPTS} attempts)")
        raise EngineDiedError(f"no server answers at {self.config.base_url}: {error}") from error

    def _adapting(self, url: str, body: dict[str, Any]) -> Result:
        """One answer; a parameter that the server refuses is given as it wants it, from then on.

        Raises:
            ServerRefusalError: it refuses still.
        """
        for _ in range(1 + len(ADAPTATIONS)):
            sent = adapted(body, self._adapted)
            try:
                return completions_of(
                    call(url, json.dumps(sent).encode(), self.config.timeout_seconds)
                )
            except ServerRefusalError as refusal:
                name = refused_parameter(refusal)
                if name is None or name not in sent:
                    raise
                if name not in self._adapted:
                    log.warning("the server does not take %s: %s", name, ADAPTATIONS[name])
                self._adapted |= {name}
        raise AssertionError("each adaptation is made once")


ADAPTATIONS = {
    "max_tokens": "max_completion_tokens is sent in its place",
    "seed": "it is left out, so that captions are drawn without one",
}


def adapted(body: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """A request without the parameters of these names, or with what stands in their place."""
    sent = {name: value for name, value in body.items() if name not in names}
    if "max_tokens" in names:
        sent["max_completion_tokens"] = body["max_tokens"]
    return sent


def refused_parameter(refusal: ServerRefusalError) -> str | None:
    """The parameter that a refusal is about, where there is another way to ask."""
    said = refusal.message.lower()
    if refusal.status not in (400, 422) or not any(word in said for word in REFUSED_WORDS):
        return None
    return next((name for name in ADAPTATIONS if re.search(rf"\b{name}\b", said)), None)


PASSING = (
    (TimeoutError, "timeout"),
    (ServerRefusalError, "server_error"),
    (UnfinishedAnswerError, "engine_error"),
)
"""Why a request failed whose every attempt met this."""


def body_of(request: CaptionRequest, config: EngineConfig) -> dict[str, Any]:
    """The JSON of one request."""
    body: dict[str, Any] = {
        "model": config.model,
        "messages": messages_of(request, config.chat),
        "n": request.n,
        "temperature": request.sampling.temperature,
        "top_p": request.sampling.top_p,
        "max_tokens": request.sampling.max_tokens,
        "seed": request.seed,
    }
    if request.sampling.logprobs:
        body["logprobs"] = True
    if config.chat.template_kwargs:
        body["chat_template_kwargs"] = config.chat.template_kwargs
    if request.shown.input == "video":  # when each frame is; `vllm serve` reads it
        body["media_io_kwargs"] = {"video": request.shown.clock()}
    return body | config.more | request.sampling.more


def refusal_of(refusal: ServerRefusalError) -> EngineError:
    """A request that the server will not take, this time or any other.

    Raises:
        InputError: it is not this request's fault: the key, the quota, the model's name, the
            address.
    """
    if refusal.is_quota:
        raise InputError(
            f"the server wants to be paid before it answers ({refusal}). Raise the account's "
            "quota, and run the command again: what is done is kept"
        )
    if refusal.status in (401, 403, 404):
        raise InputError(
            f"the server refuses every request ({refusal}). Check --base-url, --model, and the "
            "environment variable OPENAI_API_KEY"
        )
    too_long = "context length" in refusal.message or "maximum model length" in refusal.message
    reason = "prompt_too_long" if too_long else "request_refused"
    return EngineError(reason=reason, message=str(refusal))


def call(url: str, body: bytes | None, timeout_seconds: float) -> Any:
    """One HTTP exchange of JSON.

    Raises:
        ServerRefusalError: the server answered with an error.
        UnfinishedAnswerError: its answer is not JSON.
        TimeoutError: it did not answer in time.
        OSError, http.client.HTTPException: it cannot be reached, or broke off.
    """
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("OPENAI_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    question = urllib.request.Request(url, data=body, headers=headers)
    try:
        with urllib.request.urlopen(question, timeout=timeout_seconds) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            content = error.read(2000).decode(errors="replace")
        after = error.headers.get("Retry-After", "")
        wait_seconds = float(after) if after.replace(".", "", 1).isdigit() else None
        raise ServerRefusalError(
            error.code, content.strip() or error.reason, wait_seconds
        ) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise error.reason from error
        raise
    except ValueError as error:
        raise UnfinishedAnswerError(f"the server's answer is not JSON: {error}") from error


def find_served(model: str, base_url: str) -> Model:
    """The model that a server knows by this name.

    Raises:
        InputError: see `check_server`.
    """
    found = served(model)
    check_server(base_url, found.name)
    return found


def check_server(base_url: str, model: str) -> None:
    """Ask for the list of models, so that a wrong address or name ends at once.

    Raises:
        InputError: no server, a refusal, or a list without this model.
    """
    url = f"{base_url.rstrip('/')}/models"
    try:
        served = model_names(call(url, None, 10.0))
    except (ServerRefusalError, UnfinishedAnswerError, OSError, http.client.HTTPException) as error:
        raise InputError(
            f"--engine openai: {url} does not answer as such a server does ({error}). Start one "
            "with, say, `vllm serve MODEL`, or correct --base-url"
        ) from error
    if served and model not in served:
        raise InputError(f"--model is {model!r}; the server at {base_url} has {', '.join(served)}")
