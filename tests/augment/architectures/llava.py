"""The LLaVA family."""

from __future__ import annotations

from typing import Any

from tests.augment.architectures.parts import CLIP, SIZE, TEXT, text_ids, tokenizer_with
from tests.augment.architectures.templates import CHATML_PLAIN, INST, VICUNA


def llava() -> tuple[Any, Any]:
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    tokenizer = tokenizer_with(("<image>",), bos="<s>", image_token="<image>")
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**CLIP, projection_dim=64),
        text_config=LlamaConfig(**TEXT, **text_ids(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1, tie_word_embeddings=False,
    )  # fmt: skip
    images = CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    processor = LlavaProcessor(
        images, tokenizer, patch_size=14, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, chat_template=VICUNA,
    )  # fmt: skip
    return LlavaForConditionalGeneration(config), processor


def llava_next() -> tuple[Any, Any]:
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaNextConfig,
        LlavaNextForConditionalGeneration,
        LlavaNextImageProcessor,
        LlavaNextProcessor,
    )

    tokenizer = tokenizer_with(("<image>",), bos="<s>", image_token="<image>")
    pinpoints = [[28, 56], [56, 28], [56, 56]]
    config = LlavaNextConfig(
        vision_config=CLIPVisionConfig(**CLIP, projection_dim=64),
        text_config=LlamaConfig(**TEXT, **text_ids(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=pinpoints, vision_feature_layer=-1, tie_word_embeddings=False,
    )  # fmt: skip
    images = LlavaNextImageProcessor(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28},
        image_grid_pinpoints=pinpoints,
    )  # fmt: skip
    processor = LlavaNextProcessor(
        images, tokenizer, patch_size=14, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, chat_template=INST,
    )  # fmt: skip
    return LlavaNextForConditionalGeneration(config), processor


def llava_next_video() -> tuple[Any, Any]:
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaNextImageProcessor,
        LlavaNextVideoConfig,
        LlavaNextVideoForConditionalGeneration,
        LlavaNextVideoProcessor,
        LlavaNextVideoVideoProcessor,
    )

    named = {"image_token": "<image>", "video_token": "<video>"}
    tokenizer = tokenizer_with(tuple(named.values()), bos="<s>", **named)
    pinpoints = [[56, 112], [112, 56], [112, 112]]
    vision = {**CLIP, "image_size": 56}
    config = LlavaNextVideoConfig(
        vision_config=CLIPVisionConfig(**vision, projection_dim=64),
        text_config=LlamaConfig(**TEXT, **text_ids(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=pinpoints, vision_feature_layer=-1, tie_word_embeddings=False,
    )  # fmt: skip
    crop = {"height": 56, "width": 56}
    processor = LlavaNextVideoProcessor(
        LlavaNextVideoVideoProcessor(size={"shortest_edge": 56}, crop_size=crop),
        LlavaNextImageProcessor(
            size={"shortest_edge": 56}, crop_size=crop, image_grid_pinpoints=pinpoints
        ),
        tokenizer, chat_template=VICUNA, patch_size=14,
        vision_feature_select_strategy="default", num_additional_image_tokens=1,
    )  # fmt: skip
    return LlavaNextVideoForConditionalGeneration(config), processor


def llava_onevision() -> tuple[Any, Any]:
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionImageProcessor,
        LlavaOnevisionProcessor,
        LlavaOnevisionVideoProcessor,
        Qwen2Config,
        SiglipVisionConfig,
    )

    tokenizer = tokenizer_with(("<image>", "<video>"), image_token="<image>", video_token="<video>")
    pinpoints = [[28, 56], [56, 28], [56, 56]]
    config = LlavaOnevisionConfig(
        vision_config=SiglipVisionConfig(**CLIP, vision_use_head=False),
        text_config=Qwen2Config(**TEXT, **text_ids(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=pinpoints, vision_feature_layer=-1, tie_word_embeddings=False,
        vision_aspect_ratio="anyres_max_4",
    )  # fmt: skip
    processor = LlavaOnevisionProcessor(
        LlavaOnevisionImageProcessor(size=SIZE, image_grid_pinpoints=pinpoints), tokenizer,
        LlavaOnevisionVideoProcessor(size=SIZE), num_image_tokens=4,
        vision_feature_select_strategy="full", vision_aspect_ratio="anyres_max_4",
        chat_template=CHATML_PLAIN.replace("IMAGE", "<image>"),
    )  # fmt: skip
    return LlavaOnevisionForConditionalGeneration(config), processor
