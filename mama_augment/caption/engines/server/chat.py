"""A clip and a question as an OpenAI-style server takes them, and its answer as captions."""

from __future__ import annotations

import base64
import sys
from typing import Any

import cv2

from mama_augment.caption.engines import EngineConfig
from mama_augment.caption.engines.base import (
    CaptionRequest,
    ChatConfig,
    Completion,
    EngineError,
    Result,
)
from mama_augment.caption.input.control import neutralised
from mama_augment.caption.input.shown import Shown, parts_of
from mama_augment.core.shared.jpeg import Image

JPEG_QUALITY = 92
UNFINISHED = (None, "", "abort", "error")
"""What servers give as `finish_reason` of a caption that they left unfinished."""


class UnfinishedAnswerError(Exception):
    """The server answered without having ended its captions, or not in this protocol."""


def body_of(request: CaptionRequest, config: EngineConfig) -> dict[str, Any]:
    """The JSON of one request."""
    body: dict[str, Any] = {
        "model": config.model,
        "messages": messages_of(request, config.chat, config.picture_format),
        "n": request.n,
        "temperature": request.sampling.temperature,
        "top_p": request.sampling.top_p,
        "max_tokens": request.sampling.max_tokens,
        "seed": request.seed,
    }
    if request.sampling.logprobs:
        body["logprobs"] = True
    if config.chat.template_kwargs:
        body["chat_template_kwargs"] = config.chat.template_kwargs
    if request.shown.input == "video":  # when each frame is; `vllm serve` reads it
        body["media_io_kwargs"] = {"video": request.shown.clock()}
    return body | config.more | request.sampling.more


def messages_of(
    request: CaptionRequest, chat: ChatConfig, picture_format: str
) -> list[dict[str, Any]]:
    """The conversation. Pictures travel as PNG, which loses nothing, or as JPEG."""
    content: list[dict[str, Any]] = []
    for kind, value in parts_of(request.shown, neutralised(request.prompt)):
        if kind == "image":
            url = f"data:image/{picture_format};base64,{_packed(value, picture_format)}"
            content.append({"type": "image_url", "image_url": {"url": url}})
        elif kind == "video":
            content.append(
                {"type": "video_url", "video_url": {"url": _video_url(value, picture_format)}}
            )
        else:
            content.append({"type": "text", "text": value})
    system = {"role": "system", "content": chat.system_prompt}
    return [*([system] if chat.system_prompt else []), {"role": "user", "content": content}]


def completions_of(answer: Any) -> Result:
    """The captions of a server's answer; token counts are the server's, where it tells them.

    Raises:
        UnfinishedAnswerError: a caption is cut off, and not by `max_tokens`; or the answer is not
            one of this protocol. Either may be another the next time.
    """
    if not isinstance(answer, dict):
        raise UnfinishedAnswerError(f"the server's answer is {shown(answer)}, not an object")
    if answer.get("error") and not answer.get("choices"):
        raise UnfinishedAnswerError(f"the server answered with an error: {shown(answer['error'])}")
    choices = answer.get("choices") or []
    if not isinstance(choices, list) or not all(isinstance(c, dict) for c in choices):
        raise UnfinishedAnswerError(f"the server's choices are {shown(choices)}")
    choices = sorted(choices, key=lambda c: _count(c.get("index")) or 0)
    told = answer.get("usage")
    usage: dict[str, Any] = told if isinstance(told, dict) else {}
    completions = []
    for choice in choices:
        finish = choice.get("finish_reason")
        if finish in UNFINISHED:
            raise UnfinishedAnswerError(f"the server's answer has finish_reason {finish!r}")
        if finish not in ("stop", "length"):
            message = f"the server ended the request with {finish!r}"
            reason = finish if finish == "content_filter" else "ended_by_server"
            return EngineError(reason=reason, message=message)
        num_output = _count(usage.get("completion_tokens")) if len(choices) == 1 else None
        completions.append(
            Completion(
                text=_text_of(choice),
                num_prompt_tokens=_count(usage.get("prompt_tokens")),
                num_output_tokens=num_output,  # for several choices, servers give the sum only
                finish_reason=finish,
                mean_logprob=mean_logprob(choice),
            )
        )
    return completions


def model_names(answer: Any) -> list[str]:
    """The names of a server's list of models; empty where it has none to tell."""
    listed = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(listed, list):
        return []
    return [str(entry["id"]) for entry in listed if isinstance(entry, dict) and "id" in entry]


def mean_logprob(choice: dict[str, Any]) -> float | None:
    """Of a choice's tokens; None where the server does not tell."""
    told = choice.get("logprobs")
    tokens = told.get("content") if isinstance(told, dict) else None
    values = [
        token["logprob"]
        for token in (tokens if isinstance(tokens, list) else [])
        if isinstance(token, dict) and isinstance(token.get("logprob"), float | int)
    ]
    if not values or not all(abs(value) < sys.float_info.max for value in values):
        return None  # also what is no number
    return sum(values) / len(values)


def _text_of(choice: dict[str, Any]) -> str:
    """What was said: a text, or the texts of parts; nothing said is empty."""
    message = choice.get("message")
    if not isinstance(message, dict):
        raise UnfinishedAnswerError(f"the server's choice has no message: {shown(choice)}")
    content = message.get("content") or ""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(part for part in parts if isinstance(part, str))
    if not isinstance(content, str):
        raise UnfinishedAnswerError(f"the server's message has content {shown(content)}")
    return content.strip()


def _count(value: Any) -> int | None:
    """A number of tokens that a table can hold; None for anything else."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and 0 <= value < 2**31 else None


def shown(value: Any) -> str:
    """The beginning of something odd, for a message."""
    return repr(value)[:200]


def _video_url(shown: Shown, picture_format: str) -> str:
    """Frames one by one, as `vllm serve` takes a video that is cut already: `video/jpeg` data with
    a comma between frames. It decodes each by what it is, so that they too may be PNG."""
    frames = ",".join(_packed(image, picture_format) for image in shown.images)
    return f"data:video/jpeg;base64,{frames}"


def _packed(image: Image, picture_format: str) -> str:
    how = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if picture_format == "jpeg" else []
    ok, file = cv2.imencode(f".{picture_format}", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), how)
    assert ok
    return base64.b64encode(file.tobytes()).decode()
