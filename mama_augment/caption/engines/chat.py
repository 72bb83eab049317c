"""A clip and a question in a model's own chat format, from its processor."""

from __future__ import annotations

import copy
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import jinja2
import jinja2.meta
import numpy as np
from PIL import Image as PilImage

from mama_augment.caption.engines import EngineConfig
from mama_augment.caption.engines.base import CaptionRequest, ChatConfig
from mama_augment.caption.input.control import control_tokens, neutralised
from mama_augment.caption.input.shown import Shown, parts_of
from mama_augment.caption.models.trial import check_templates
from mama_augment.core.errors import InputError

if TYPE_CHECKING:
    from transformers import BatchFeature

MAX_CONTEXT_TOKENS = {"grid": 8192, "images": 16384, "video": 16384}
"""Models for long documents reach 128 k; memory reserved for that would be missing elsewhere."""


LOAD_ERRORS = (
    ValueError,
    OSError,
    ImportError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    MemoryError,
)
RUST_PANIC = "PanicException"
"""What tokenizers raise for a file that they did not expect; it is no Exception."""
GIVEN_BY_TRANSFORMERS = {
    "messages",
    "tools",
    "documents",
    "add_generation_prompt",
    "bos_token",
    "eos_token",
    "raise_exception",
    "strftime_now",
    "namespace",
    "range",
}
"""What templates look at that is no variable of a user's."""


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


def load_processor(directory: str, *, trust_remote_code: bool = False) -> Any:
    """A model's processor with its chat template.

    Raises:
        InputError: it cannot be loaded here, or there is no chat template, so that nobody knows
            how to put the question.
    """
    from transformers import AutoProcessor

    with quiet_loading(), load_errors(directory, "processor"):
        processor = AutoProcessor.from_pretrained(directory, trust_remote_code=trust_remote_code)
    holders = (processor, getattr(processor, "tokenizer", None))
    if not any(getattr(holder, "chat_template", None) for holder in holders):
        raise InputError(
            f"the processor in {directory!r} has no chat template; add the model's own as "
            "chat_template.jinja"
        )
    return processor


def check_chat(config: EngineConfig) -> None:
    """Refuse a chat template that does not end, and variables that it never looks at: they would
    do nothing.

    Raises:
        InputError: naming the model; naming the variables, and those that there are.
    """
    check_templates(config.model)
    given = config.chat.template_kwargs
    if not given:
        return
    processor = load_processor(config.model, trust_remote_code=config.trust_remote_code)
    holders = (processor, getattr(processor, "tokenizer", None))
    found = next((t for h in holders if (t := getattr(h, "chat_template", None))), "")
    templates = found.values() if isinstance(found, dict) else [found]
    parsing = jinja2.Environment(extensions=["jinja2.ext.loopcontrols"])
    known: set[str] = set()
    set_inside: set[str] = set()
    for template in templates:  # transformers' own tag marks spans, and takes no variables
        plain = re.sub(r"\{%-?\s*(end)?generation\s*-?%\}", "", template)
        tree = parsing.parse(plain)
        known |= jinja2.meta.find_undeclared_variables(tree)
        set_inside |= {n.name for n in tree.find_all(jinja2.nodes.Name) if n.ctx == "store"}
    if unknown := sorted(set(given) - known):
        own = sorted(known - GIVEN_BY_TRANSFORMERS - set_inside)
        raise InputError(
            f"--chat-template-kwargs gives {', '.join(unknown)}, which the model's chat template "
            f"does not look at; it looks at {', '.join(own) or 'none'}"
        )


@contextmanager
def load_errors(directory: str, what: str) -> Iterator[None]:
    """What transformers says when it cannot load something, as a message with a way out.

    Raises:
        InputError: naming the directory, and the option or the package that is missing.
    """
    try:
        yield
    except InputError:
        raise
    except BaseException as error:
        if not isinstance(error, LOAD_ERRORS) and type(error).__name__ != RUST_PANIC:
            raise
        said = str(error)
        hint = "Take another model, or an engine that knows this one"
        if "trust_remote_code" in said:
            hint = "It brings Python of its own: pass --trust-remote-code if you trust that"
        elif "torchvision" in said.lower():
            hint = "Install torchvision beside this torch (`make` does), or take --input grid"
        raise InputError(
            f"transformers cannot load the {what} in {directory!r}: {said.strip().rstrip('.')}. "
            f"{hint}"
        ) from error


def context_length(model_config: Any, input: str) -> int:
    """Tokens that a request may have, its caption included: what the model's positions reach, and
    no more than pictures and a prompt need.
    """
    text_config = model_config.get_text_config()
    most = MAX_CONTEXT_TOKENS[input]
    return min(int(getattr(text_config, "max_position_embeddings", 0) or most), most)


class Chat:
    """Requests as a model of transformers takes them.

    The model's own template makes the text; the processor puts picture tokens into it and makes
    ids of it once. Where the template writes the beginning-of-text token itself, as Gemma's does,
    the tokenizer adds none.
    """

    def __init__(self, processor: Any, config: ChatConfig) -> None:
        self.processor = processor
        self._system = config.system_prompt
        self._template_kwargs = config.template_kwargs
        self._tokens = control_tokens(processor)
        self._bos = getattr(getattr(processor, "tokenizer", None), "bos_token", None)

    def __call__(self, requests: Sequence[CaptionRequest]) -> BatchFeature:
        """Tensors of a batch, rows padded on the tokenizer's side."""
        texts = [self.text(request) for request in requests]
        given: dict[str, Any] = {"text": texts, "padding": True, "return_tensors": "pt"}
        if self._bos and texts[0].startswith(self._bos):
            given["add_special_tokens"] = False
        if requests[0].shown.input == "video":
            given["videos"] = [[video_of(request.shown)] for request in requests]
            given["video_metadata"] = [[metadata_of(request.shown)] for request in requests]
            given["do_sample_frames"] = False
        else:
            given["images"] = [
                [PilImage.fromarray(image) for image in request.shown.images]
                for request in requests
            ]
        return self.processor(**given)

    def text(self, request: CaptionRequest) -> str:
        """The rendered chat, with one placeholder for each picture."""
        return str(
            self.processor.apply_chat_template(
                self.messages(request),
                add_generation_prompt=True,
                tokenize=False,
                **self._template_kwargs,
            )
        )

    def messages(self, request: CaptionRequest) -> list[dict[str, Any]]:
        """The conversation, as transformers describes one."""
        prompt = neutralised(request.prompt, self._tokens)
        content = [
            {"type": "text", "text": value} if kind == "text" else {"type": kind}
            for kind, value in parts_of(request.shown, prompt)
        ]
        system = {"role": "system", "content": [{"type": "text", "text": self._system}]}
        return [*([system] if self._system else []), {"role": "user", "content": content}]


class ThreadsChat:
    """A `Chat` for several threads: each has its own copy of the processor, because a tokenizer of
    the fast kind refuses to be used by two at once."""

    def __init__(self, processor: Any, config: ChatConfig) -> None:
        self._processor, self._config = processor, config
        self._own = threading.local()
        self._lock = threading.Lock()

    def __call__(self, requests: Sequence[CaptionRequest]) -> BatchFeature:
        """See `Chat`."""
        chat: Chat | None = getattr(self._own, "chat", None)
        if chat is None:
            with self._lock:
                chat = self._own.chat = Chat(copy.deepcopy(self._processor), self._config)
        return chat(requests)


def video_of(shown: Shown) -> Any:
    """The frames of a video as transformers takes them: uint8 [T, 3, H, W]."""
    import torch

    return torch.from_numpy(np.stack(shown.images)).permute(0, 3, 1, 2)


def metadata_of(shown: Shown) -> Any:
    """The times of a video's frames."""
    from transformers.video_utils import VideoMetadata

    height, width = shown.images[0].shape[:2]
    return VideoMetadata(**shown.clock(), width=width, height=height, video_backend="frames")
