"""The Qwen family."""

from __future__ import annotations

from typing import Any

from tests.augment.architectures.parts import TEXT, text_ids, tokenizer_with
from tests.augment.architectures.templates import CHATML

QWEN_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
ROPE = {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 10000.0}
QWEN3_VISION = {
    "depth": 2,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_heads": 2,
    "out_hidden_size": 64,
    "patch_size": 16,
    "num_position_embeddings": 2304,
    "deepstack_visual_indexes": [0],
}


def _qwen_ids(tokenizer: Any) -> dict[str, int]:
    names = ("vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id")
    return dict(zip(names, tokenizer.convert_tokens_to_ids(list(QWEN_TOKENS)), strict=True))


def _qwen_images(patch_size: int) -> Any:
    from transformers import Qwen2VLImageProcessor

    return Qwen2VLImageProcessor(
        patch_size=patch_size, merge_size=2, temporal_patch_size=2,
        size={"shortest_edge": 28 * 28, "longest_edge": 1024 * 1024},
    )  # fmt: skip


def qwen2_vl() -> tuple[Any, Any]:
    from transformers import (
        Qwen2VLConfig,
        Qwen2VLForConditionalGeneration,
        Qwen2VLProcessor,
        Qwen2VLVideoProcessor,
    )

    tokenizer = tokenizer_with(QWEN_TOKENS)
    config = Qwen2VLConfig(
        text_config={**TEXT, **text_ids(tokenizer), "rope_parameters": ROPE},
        vision_config={"depth": 2, "embed_dim": 64, "hidden_size": 64, "mlp_ratio": 2,
                       "num_heads": 2, "patch_size": 14},
        **_qwen_ids(tokenizer), tie_word_embeddings=False,
    )  # fmt: skip
    processor = Qwen2VLProcessor(
        _qwen_images(14), tokenizer, Qwen2VLVideoProcessor(), chat_template=CHATML
    )
    return Qwen2VLForConditionalGeneration(config), processor


def qwen2_5_vl() -> tuple[Any, Any]:
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLVideoProcessor,
    )

    tokenizer = tokenizer_with(QWEN_TOKENS)
    config = Qwen2_5_VLConfig(
        text_config={**TEXT, **text_ids(tokenizer), "rope_parameters": ROPE},
        vision_config={"depth": 2, "hidden_size": 64, "intermediate_size": 96, "num_heads": 2,
                       "out_hidden_size": 64, "patch_size": 14, "fullatt_block_indexes": [1]},
        **_qwen_ids(tokenizer), tie_word_embeddings=False,
    )  # fmt: skip
    processor = Qwen2_5_VLProcessor(
        _qwen_images(14), tokenizer, Qwen2VLVideoProcessor(), chat_template=CHATML
    )
    return Qwen2_5_VLForConditionalGeneration(config), processor


def qwen3_vl() -> tuple[Any, Any]:
    from transformers import (
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    tokenizer = tokenizer_with(QWEN_TOKENS)
    config = Qwen3VLConfig(
        text_config={**TEXT, **text_ids(tokenizer), "head_dim": 32, "rope_parameters": ROPE},
        vision_config=QWEN3_VISION,
        **_qwen_ids(tokenizer), tie_word_embeddings=False,
    )  # fmt: skip
    processor = Qwen3VLProcessor(
        _qwen_images(16), tokenizer, Qwen3VLVideoProcessor(), chat_template=CHATML
    )
    return Qwen3VLForConditionalGeneration(config), processor


def qwen3_vl_moe() -> tuple[Any, Any]:
    from transformers import (
        Qwen3VLMoeConfig,
        Qwen3VLMoeForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    tokenizer = tokenizer_with(QWEN_TOKENS)
    config = Qwen3VLMoeConfig(
        text_config={**TEXT, **text_ids(tokenizer), "head_dim": 32, "rope_parameters": ROPE,
                     "moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2},
        vision_config=QWEN3_VISION, **_qwen_ids(tokenizer), tie_word_embeddings=False,
    )  # fmt: skip
    processor = Qwen3VLProcessor(
        _qwen_images(16), tokenizer, Qwen3VLVideoProcessor(), chat_template=CHATML
    )
    return Qwen3VLMoeForConditionalGeneration(config), processor


def qwen3_5() -> tuple[Any, Any]:
    from transformers import (
        Qwen3_5Config,
        Qwen3_5ForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    tokenizer = tokenizer_with(QWEN_TOKENS)
    vision = {k: v for k, v in QWEN3_VISION.items() if k != "deepstack_visual_indexes"}
    rope = {**ROPE, "mrope_section": [2, 1, 1], "partial_rotary_factor": 0.25}
    config = Qwen3_5Config(
        text_config={**TEXT, **text_ids(tokenizer), "head_dim": 32, "rope_parameters": rope,
                     "layer_types": ["linear_attention", "full_attention"],
                     "linear_key_head_dim": 16, "linear_value_head_dim": 16,
                     "linear_num_key_heads": 2, "linear_num_value_heads": 4},
        vision_config=vision, **_qwen_ids(tokenizer), tie_word_embeddings=False,
    )  # fmt: skip
    processor = Qwen3VLProcessor(
        _qwen_images(16), tokenizer, Qwen3VLVideoProcessor(), chat_template=CHATML
    )
    return Qwen3_5ForConditionalGeneration(config), processor
