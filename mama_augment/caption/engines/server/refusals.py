"""What a server's refusal means: wait, ask another way, set the request aside, or stop."""

from __future__ import annotations

import email.utils
import math
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mama_augment.caption.engines.base import EngineError
from mama_augment.core.errors import InputError

TOO_MUCH = (429, 503, 529)
"""Asked less, the server may answer."""
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
ADAPTATIONS = {
    "max_tokens": "max_completion_tokens is sent in its place",
    "seed": "it is left out, so that captions are drawn without one",
}


class ServerRefusalError(Exception):
    """The server answered, and said no: its status and its words."""

    def __init__(self, status: int, message: str, retry_after: float | None = None) -> None:
        """retry_after: seconds that the server asks to wait."""
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message
        self.retry_after = retry_after

    @property
    def is_passing(self) -> bool:
        """Whether the same request may succeed later."""
        is_elsewhere = 300 <= self.status < 400  # by a proxy that wants to be talked to first, say
        is_now = self.status in (408, 409, 425, 429) or self.status >= 500
        return not self.is_quota and (is_now or is_elsewhere)

    @property
    def is_too_much(self) -> bool:
        """Whether fewer at once may help."""
        return self.status in TOO_MUCH and not self.is_quota

    @property
    def is_quota(self) -> bool:
        """Whether nothing is answered before somebody pays."""
        said = self.message.lower()
        return self.status == 402 or (
            self.status in (403, 429) and any(word in said for word in QUOTA_WORDS)
        )


def seconds_to_wait(headers: Mapping[str, str]) -> float | None:
    """`Retry-After`, in seconds or as a date; None where there is none that can be read.

    A date is compared with the server's own clock, where it tells it.
    """
    said = headers.get("Retry-After", "").strip()
    try:
        seconds = float(said)
    except ValueError:
        then = _timestamp(said)
        if then is None:
            return None
        now = _timestamp(headers.get("Date", ""))
        seconds = then - (time.time() if now is None else now)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _timestamp(said: str) -> float | None:
    """Seconds since 1970 of an HTTP date."""
    try:
        found = email.utils.parsedate_to_datetime(said)
    except (ValueError, TypeError, OverflowError):
        return None
    whole: datetime = found if found.tzinfo else found.replace(tzinfo=UTC)
    return whole.timestamp()


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
    if refusal.status in (401, 403, 404, 407):
        raise InputError(
            f"the server refuses every request ({refusal}). Check --base-url, --model, and the "
            "environment variable OPENAI_API_KEY"
        )
    too_long = "context length" in refusal.message or "maximum model length" in refusal.message
    reason = "prompt_too_long" if too_long else "request_refused"
    return EngineError(reason=reason, message=str(refusal))
