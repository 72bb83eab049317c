"""A clip and a question as an OpenAI-style server takes them."""

from __future__ import annotations

import base64
from typing import Any

import cv2

from mama_augment.caption.engines.base import CaptionRequest, ChatConfig
from mama_augment.caption.input.control import neutralised
from mama_augment.caption.input.shown import Shown, parts_of
from mama_augment.core.shared.jpeg import Image


def messages_of(request: CaptionRequest, chat: ChatConfig) -> list[dict[str, Any]]:
    """The conversation. Pictures travel as PNG, which loses nothing."""
    content: list[dict[str, Any]] = []
    for kind, value in parts_of(request.shown, neutralised(request.prompt)):
        if kind == "image":
            url = f"data:image/png;base64,{_png(value)}"
            content.append({"type": "image_url", "image_url": {"url": url}})
        elif kind == "video":
            content.append({"type": "video_url", "video_url": {"url": _video_url(value)}})
        else:
            content.append({"type": "text", "text": value})
    system = {"role": "system", "content": chat.system_prompt}
    return [*([system] if chat.system_prompt else []), {"role": "user", "content": content}]


def mean_logprob(choice: dict[str, Any]) -> float | None:
    """Of a choice's tokens; None where the server does not tell."""
    told = (choice.get("logprobs") or {}).get("content") or []
    values = [token["logprob"] for token in told if token.get("logprob") is not None]
    return sum(values) / len(values) if values else None


def _video_url(shown: Shown) -> str:
    """Frames one by one, as `vllm serve` takes a video that is cut already: `video/jpeg` data with
    a comma between frames. It decodes each by what it is, so that they too are PNG."""
    return f"data:video/jpeg;base64,{','.join(_png(image) for image in shown.images)}"


def _png(image: Image) -> str:
    ok, png = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert ok
    return base64.b64encode(png.tobytes()).decode()
