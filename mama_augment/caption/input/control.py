"""Text of clips never becomes a control token or the place of a picture.

A chat template and a tokenizer read `<|im_start|>` or `<image>` in a caption as they read their
own: the turn would end there, or one picture more would be awaited than there is. A space behind
the first character makes ordinary text of it that still reads the same.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

from mama_augment.core.errors import InputError

_COMMON = re.compile(
    r"<\|[^<>|\s]{1,64}\|>"  # Qwen, Phi, GLM, Llama 3
    r"|<[|｜][^<>\s]{1,64}[|｜]>"  # DeepSeek, Gemma 4
    r"|◁/?[a-z_]{1,32}▷"  # Kimi
    r"|</?(?:s|pad|unk|bos|eos|mask|image|images|video|audio|img|frame|vision|think)>"
    r"|<(?:IMG_CONTEXT|image_soft_token|image_pad|video_pad|image_placeholder|im_patch|im_start"
    r"|im_end|im_col|low_res_im_start|im_low|row_\d+_col_\d+|global-img|fake_token_around_image"
    r"|end_of_utterance|image_\d+|video_\d+|(?:start|end)_of_(?:turn|image|video|audio))>"
    r"|\[/?(?:INST|IMG|IMG_BREAK|IMG_END|SYSTEM_PROMPT|TOOL_CALLS|AVAILABLE_TOOLS)\]"
    r"|<<(?:/)?SYS>>",
    re.IGNORECASE,
)
"""What published models use, for those whose tokenizer is not here (behind a server)."""


def neutralised(text: str, tokens: Iterable[str] = ()) -> str:
    """`text` without anything that reads as control; other text comes back as it is.

    tokens: those of the model's own tokenizer and processor.
    """
    own = _pattern(frozenset(tokens))
    before = None
    while text != before:  # a token may be made of what is left of another
        before = text
        for pattern in (_COMMON, own):
            if pattern is not None:
                text = pattern.sub(_apart, text)
    return text


def check_no_control(option: str, text: str) -> None:
    """Refuse a text of the command line that holds one: whoever writes it means something else.

    Raises:
        InputError: naming it.
    """
    if found := _COMMON.search(text):
        raise InputError(
            f"{option} holds {found.group()!r}, which models read as a control token or as the "
            "place of a picture; leave it out. The picture and the chat format are put around "
            "your text"
        )


def control_tokens(processor: object) -> frozenset[str]:
    """What a processor's tokenizer reads as control, and what it holds for places of pictures."""
    tokenizer = getattr(processor, "tokenizer", processor)
    found = set(getattr(tokenizer, "all_special_tokens", ()))
    added = getattr(tokenizer, "added_tokens_decoder", {})
    found |= {str(token) for token in added.values() if getattr(token, "special", False)}
    for holder in (processor, tokenizer):
        names = [f"{kind}_token" for kind in ("image", "video", "audio", "boi", "eoi")]
        found |= {str(t) for name in names if isinstance(t := getattr(holder, name, None), str)}
    return frozenset(found)


def _apart(match: re.Match[str]) -> str:
    return f"{match.group()[0]} {match.group()[1:]}"


@functools.lru_cache(maxsize=8)
def _pattern(tokens: frozenset[str]) -> re.Pattern[str] | None:
    """The longest first; a single character cannot be taken apart."""
    words = sorted((t for t in tokens if len(t.strip()) > 1), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, words))) if words else None
