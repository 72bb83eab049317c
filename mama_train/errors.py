"""What ends a run besides a user's mistake."""

from __future__ import annotations

from mama_augment.core.errors import StoppedError


class NonFiniteLossError(StoppedError):
    """The run cannot go on: its loss, or a gradient of it, is not a finite number any more."""
