"""What ends a run besides a user's mistake."""


class NonFiniteLossError(RuntimeError):
    """The run cannot go on: its loss, or a gradient of it, is NaN or infinite."""
