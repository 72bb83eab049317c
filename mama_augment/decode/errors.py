"""Why a clip gives no key frames: one exception with a reason code."""

from __future__ import annotations

from mama_augment.core.reasons import reason_of

STEP = "keyframes"
"""Whose reasons these are (core/reasons.py)."""


def verdict_of(reason: str) -> str:
    """`rejected` or `failed`."""
    return reason_of(STEP, reason).verdict


class ClipError(Exception):
    """A clip that leaves the flow; `reason` is a registered one of the step `keyframes`."""

    def __init__(self, reason: str, message: str) -> None:
        assert reason_of(STEP, reason)
        super().__init__(reason, message)
        self.reason = reason
        self.message = message
