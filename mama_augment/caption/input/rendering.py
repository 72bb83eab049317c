"""Prompt templates are rendered in a process with limits: one that never ends costs its clip."""

from __future__ import annotations

import atexit
import functools
import threading
from collections.abc import Mapping
from typing import Any

from mama_augment.caption.input.prompts import Prompt, PromptRowError
from mama_augment.core.errors import StoppedError
from mama_augment.runtime.isolate import IsolatedFunction, IsolationConfig, IsolationError

TARGET = "mama_augment.caption.input.prompts:rendered"
LIMITS = IsolationConfig(
    time_limit_seconds=5.0, memory_limit_mb=256, num_calls_per_process=1_000_000
)
"""A clip's prompt takes less than a millisecond."""
MOST_OVER = 3
"""Clips in a row that pass a limit: then it is the template's fault."""


class Renderer:
    """One template, and the process that renders it, which starts with the first clip."""

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt
        self._function = IsolatedFunction(TARGET, LIMITS, answer=str)
        self._lock = threading.Lock()
        self._num_over = 0

    def __call__(self, columns: Mapping[str, Any]) -> str:
        """The text for one clip.

        Raises:
            PromptRowError: the template fails on these columns, or passes a limit.
            StoppedError: it has passed one for several clips in a row.
        """
        with self._lock:
            try:
                text: str = self._function(self._prompt.name, self._prompt.text, dict(columns))
            except IsolationError as error:
                self._num_over += 1
                message = f"prompt template {self._prompt.name!r}: {error.message}"
                if self._num_over >= MOST_OVER:
                    raise StoppedError(
                        f"{message}, for {MOST_OVER} clips in a row; mend the template"
                    ) from error
                raise PromptRowError(message) from error
            except PromptRowError:
                self._num_over = 0
                raise
            self._num_over = 0
            return text

    def close(self) -> None:
        """End the process."""
        self._function.close()


@functools.lru_cache(maxsize=4)
def _renderer(prompt: Prompt) -> Renderer:
    renderer = Renderer(prompt)
    atexit.register(renderer.close)
    return renderer


def render(prompt: Prompt, columns: Mapping[str, Any]) -> str:
    """The prompt's text for one clip.

    Raises:
        PromptRowError, StoppedError: see `Renderer`.
    """
    return _renderer(prompt)(columns) if prompt.is_template else prompt.text
