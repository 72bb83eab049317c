"""What every caption engine takes and gives back: streams of requests, results as they finish."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Protocol

from mama_augment.core.errors import InputError
from mama_augment.core.shared.jpeg import Image


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How tokens are drawn. Temperature 0.2 is that of the paper's demo; 0 takes the likeliest."""

    temperature: float = 0.2
    top_p: float = 1.0
    max_tokens: int = 128

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 10:
            raise InputError(f"--temperature is {self.temperature}; allowed: 0 to 10")
        if not 0 < self.top_p <= 1:
            raise InputError(f"--top-p is {self.top_p}; allowed: above 0, up to 1")
        if self.max_tokens < 1:
            raise InputError(f"--max-tokens is {self.max_tokens}; at least 1 is needed")


@dataclass(frozen=True, kw_only=True, eq=False)
class CaptionRequest:
    """One picture and one prompt; asks for `n` captions, caption i drawn with `seed + i`.

    image: uint8 RGB [H, W, 3] at the model's own input size.
    prompt: plain text; the engine puts it into the model's chat template.
    """

    request_id: str
    image: Image
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


@dataclass(frozen=True, kw_only=True)
class EngineError:
    """Why a request has no completions; a value, so that one request never costs another.

    verdict: `rejected` (the request's own fault, the same every time) or `failed` (worth a retry).
    """

    reason: str
    message: str
    verdict: str = "failed"


Result = list[Completion] | EngineError


class EngineDiedError(RuntimeError):
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
