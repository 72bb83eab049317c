"""A clip and a question as vLLM takes them: its own chat renderer, given pixels instead of URLs."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
from PIL import Image as PilImage

from mama_augment.caption.engines.base import CaptionRequest, ChatConfig
from mama_augment.caption.input.control import control_tokens, neutralised
from mama_augment.caption.input.shown import Shown, parts_of


class VllmChat:
    """Requests to vLLM's engine inputs: rendered by the model's template, tokenized once.

    The renderer knows the placeholders of models whose template has none, and Mistral's, Kimi's
    and DeepSeek's own formats. Where the template writes the beginning-of-text token itself, the
    tokenizer adds none. It takes videos by URL only; a part that has no data but an id
    keeps their place, and the frames are put there before they are processed.
    """

    def __init__(self, renderer: Any, config: ChatConfig, make_params: Any) -> None:
        """make_params: vLLM's ChatParams; renderer: of an LLMEngine."""
        self._renderer = renderer
        self._system = config.system_prompt
        self._params = make_params(
            chat_template_kwargs={
                "add_generation_prompt": True,
                "tokenize": False,
                **config.template_kwargs,
            }
        )
        self._tok_params = renderer.default_chat_tok_params
        tokenizer = renderer.get_tokenizer()
        self._tokens = control_tokens(tokenizer)
        self._bos = getattr(tokenizer, "bos_token", None)

    def __call__(self, request: CaptionRequest) -> Any:
        """What `LLMEngine.add_request` takes.

        Raises:
            VLLMClientError, ValueError: vLLM refuses the request.
        """
        prompt = self.rendered(request)
        params = self._tok_params
        if self._bos and str(prompt.get("prompt", "")).startswith(self._bos):
            params = dataclasses.replace(params, add_special_tokens=False)
        (tokenized,) = self._renderer.tokenize_prompts([prompt], params)
        return self._renderer.process_for_engine(tokenized, time.time(), tok_params=params)

    def rendered(self, request: CaptionRequest) -> Any:
        """The chat as vLLM's prompt: its text, or ids, and its pictures."""
        _, prompt = self._renderer.render_messages(self._messages(request), self._params)
        if request.shown.input == "video":
            prompt["multi_modal_data"] = {"video": [_video(request.shown)]}
            prompt.pop("multi_modal_uuids", None)
        return prompt

    def _messages(self, request: CaptionRequest) -> list[dict[str, Any]]:
        prompt = neutralised(request.prompt, self._tokens)
        content: list[dict[str, Any]] = []
        for kind, value in parts_of(request.shown, prompt):
            if kind == "image":
                content.append({"type": "image_pil", "image_pil": PilImage.fromarray(value)})
            elif kind == "video":
                content.append({"type": "video_url", "video_url": None, "uuid": "frames"})
            else:
                content.append({"type": "text", "text": value})
        system = {"role": "system", "content": self._system}
        return [*([system] if self._system else []), {"role": "user", "content": content}]


def _video(shown: Shown) -> tuple[Any, dict[str, Any]]:
    """(uint8 RGB [T, H, W, 3], metadata) of frames that are taken as they are."""
    metadata = {**shown.clock(), "video_backend": "frames", "do_sample_frames": False}
    return np.stack(shown.images), metadata
