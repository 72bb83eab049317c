"""What every caption engine takes and gives back: streams of requests, results as they finish."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from mama_augment.caption.engines.arguments import read_arguments
from mama_augment.caption.input.shown import Shown
from mama_augment.core.errors import InputError, StoppedError
from mama_augment.core.reasons import Verdict, verdict_of
from mama_augment.core.registry import load

OWN_SAMPLING = ("temperature", "top_p", "max_tokens", "max_new_tokens", "n", "seed", "logprobs")
"""What has an option of its own, whatever an engine calls it."""


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How tokens are drawn. Temperature 0.2 is that of the paper's demo; 0 takes the likeliest."""

    temperature: float = 0.2
    """How freely words are drawn; 0 always takes the likeliest."""
    top_p: float = 1.0
    """Draw from the likeliest words that together have this probability."""
    max_tokens: int = 128
    """Longest caption, in tokens; see --on-truncated for one that is cut off here."""
    sampling_args: tuple[str, ...] = ()
    """More of the engine's own sampling arguments, as key=value, JSON, or a .toml or .json file:
    vLLM's SamplingParams, transformers' GenerationConfig, fields of a server's request. May be
    repeated."""
    logprobs: bool = False
    """Record each caption's mean log-probability per token, as mean_logprob."""

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 10:
            raise InputError(f"--temperature is {self.temperature}; allowed: 0 to 10")
        if not 0 < self.top_p <= 1:
            raise InputError(f"--top-p is {self.top_p}; allowed: above 0, up to 1")
        if self.max_tokens < 1:
            raise InputError(f"--max-tokens is {self.max_tokens}; at least 1 is needed")

    @property
    def more(self) -> dict[str, Any]:
        """`sampling_args` by name.

        Raises:
            InputError: they cannot be read.
        """
        return read_arguments("--sampling-args", self.sampling_args, OWN_SAMPLING)

    def fields(self) -> dict[str, Any]:
        """What decides the draw, by name; what was not asked for is absent."""
        found: dict[str, Any] = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_tokens,
        }
        if self.sampling_args:
            found["sampling_args"] = self.more
        if self.logprobs:
            found["logprobs"] = True
        return found


@dataclass(frozen=True, kw_only=True)
class ChatConfig:
    """What stands around the question."""

    system_prompt: str = ""
    """A system message before the question, for models whose chat format has one."""
    chat_template_kwargs: tuple[str, ...] = ()
    """Variables for the model's chat template, as key=value, JSON, or a .toml or .json file, such
    as enable_thinking=false. May be repeated."""

    @property
    def template_kwargs(self) -> dict[str, Any]:
        """`chat_template_kwargs` by name.

        Raises:
            InputError: they cannot be read.
        """
        own = ("tokenize", "chat_template", "add_generation_prompt", "return_dict", "conversation")
        return read_arguments("--chat-template-kwargs", self.chat_template_kwargs, own)

    def fields(self) -> dict[str, Any]:
        """What the chat is made with, by name; what was not asked for is absent."""
        found: dict[str, Any] = {}
        if self.system_prompt:
            found["system_prompt"] = self.system_prompt
        if self.chat_template_kwargs:
            found["chat_template_kwargs"] = self.template_kwargs
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class CaptionRequest:
    """One clip and one prompt; asks for `n` captions, caption i drawn with `seed + i`.

    shown: the clip's pictures with their times, as the model is to see them.
    prompt: plain text; the engine puts it into the model's chat template, as text only.
    """

    request_id: str
    shown: Shown
    prompt: str
    sampling: SamplingConfig
    seed: int
    n: int = 1


@dataclass(frozen=True, kw_only=True)
class Completion:
    """What the model said. Prompt tokens include the picture's; output tokens the final stop.

    A server may not tell its counts; then they are None.
    """

    text: str
    num_prompt_tokens: int | None
    num_output_tokens: int | None
    finish_reason: str
    """`stop` (the model ended) or `length` (max_tokens ended it)."""
    mean_logprob: float | None = None
    """Mean natural logarithm of its tokens' probabilities, where it was asked for."""

    def __post_init__(self) -> None:
        # Halves of characters, which JSON can carry and neither files nor tables can hold.
        text = self.text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        object.__setattr__(self, "text", text)


@dataclass(frozen=True, kw_only=True)
class EngineError:
    """Why a request has no completions; a value, so that one request never costs another."""

    reason: str
    """A registered one of the step `caption` (core/reasons.py)."""
    message: str

    def __post_init__(self) -> None:
        assert self.verdict in ("rejected", "failed"), self.verdict

    @property
    def verdict(self) -> Verdict:
        """`rejected` (the request's own fault, the same every time) or `failed`."""
        return verdict_of("caption", self.reason)


Result = list[Completion] | EngineError


class EngineDiedError(StoppedError):
    """The engine is gone with everything in flight; a new one may take the requests again."""


class CaptionEngine(Protocol):
    """Turns requests into captions.

    `generate` pulls requests as fast as it can use them, keeps as many in flight as pays, and
    yields (request_id, result) in the order in which they finish. `Completion` i of a result has
    seed `request.seed + i`. Only the death of the engine raises.
    """

    def generate(
        self, requests: Iterable[CaptionRequest]
    ) -> Generator[tuple[str, Result], None, None]: ...

    def close(self) -> None:
        """Release the model, its memory and its processes."""
        ...


@dataclass(frozen=True, kw_only=True)
class EngineKind:
    """What can be known of an engine before its library is imported, which takes seconds.

    Functions and classes are named as `package.module:Name`.
    """

    name: str
    engine: str
    """A CaptionEngine, made from an EngineConfig."""
    shares_prefill: bool = True
    """Whether several captions of one request read their prompt once."""
    library: str | None = None
    """What must be importable; None: nothing that is not installed with this package."""
    missing: str = ""
    """What to say where `library` is not installed."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Set before the library is imported, unless it is set already."""
    packages: tuple[str, ...] = ("torch", "transformers")
    """Whose versions decide what a caption says; the manifest notes those that are installed."""
    check: str | None = None
    """Refuses what the engine cannot run, before anything is loaded: (EngineConfig,
    SamplingConfig) -> None or InputError."""
    neutral_args: frozenset[str] = frozenset()
    """Those of --engine-args that are about memory and speed: no part of what a caption is."""
    find_served: str | None = None
    """Finds the model that a server runs: (--model, --base-url) -> Model. None: the model is a
    directory on this machine, and the engine runs it."""

    @property
    def is_server(self) -> bool:
        """Whether the model runs elsewhere, on GPUs that are not ours to share out."""
        return self.find_served is not None

    @property
    def is_installed(self) -> bool:
        return self.library is None or importlib.util.find_spec(self.library) is not None

    def load(self, place: str) -> Any:
        """Import one of the functions or classes above.

        Raises:
            ImportError, OSError: the library is not there, or does not work here.
        """
        for name, value in self.environment.items():
            os.environ.setdefault(name, value)
        return load(place)
