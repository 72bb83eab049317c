"""A prompt about one picture in a model's own chat format, from its processor."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mama_augment.core.errors import InputError

MAX_CONTEXT_TOKENS = 8192
"""Models for long documents reach 128 k; memory reserved for that would be missing elsewhere."""


@contextmanager
def quiet_loading() -> Iterator[None]:
    """No progress bars and no advice while transformers loads files; the command has its own."""
    from transformers.utils import logging

    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()


def load_processor(directory: str) -> Any:
    """A model's processor with its chat template.

    Raises:
        InputError: there is no chat template, so nobody knows how to put the question.
    """
    from transformers import AutoProcessor

    with quiet_loading():
        processor = AutoProcessor.from_pretrained(directory)
    if not getattr(processor, "chat_template", None):
        raise InputError(
            f"the processor in {directory!r} has no chat template; add the model's own as "
            "chat_template.jinja"
        )
    return processor


def context_length(model_config: Any) -> int:
    """Tokens that a request may have, its caption included: what the model's positions reach, and
    no more than any grid and prompt need.
    """
    text_config = model_config.get_text_config()
    reach = int(getattr(text_config, "max_position_embeddings", 0) or MAX_CONTEXT_TOKENS)
    return min(reach, MAX_CONTEXT_TOKENS)


class ChatText:
    """Prompt to chat text; prompts repeat, so what was made is kept."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor
        self._cached = functools.lru_cache(maxsize=4096)(self._make)

    def __call__(self, prompt: str) -> str:
        return self._cached(prompt)

    def _make(self, prompt: str) -> str:
        content = [{"type": "image"}, {"type": "text", "text": prompt}]
        return str(
            self._processor.apply_chat_template(
                [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
            )
        )
