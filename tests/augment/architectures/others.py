"""InternVL, Gemma, SmolVLM, Mistral."""

from __future__ import annotations

from typing import Any

from tests.augment.architectures.parts import CLIP, SIZE, TEXT, text_ids, tokenizer_with
from tests.augment.architectures.templates import CHATML_PLAIN, GEMMA, MISTRAL, SMOL


def internvl() -> tuple[Any, Any]:
    from transformers import (
        GotOcr2ImageProcessor,
        InternVLConfig,
        InternVLForConditionalGeneration,
        InternVLProcessor,
        InternVLVideoProcessor,
        InternVLVisionConfig,
        Qwen2Config,
    )

    named = {
        "start_image_token": "<img>", "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>", "video_token": "<video>",
    }  # fmt: skip
    tokenizer = tokenizer_with(tuple(named.values()), **named)
    vision = {**CLIP, "image_size": [28, 28], "patch_size": [14, 14]}
    config = InternVLConfig(
        vision_config=InternVLVisionConfig(**vision, use_qk_norm=False),
        text_config=Qwen2Config(**TEXT, **text_ids(tokenizer)),
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=1, tie_word_embeddings=False,
    )  # fmt: skip
    processor = InternVLProcessor(
        GotOcr2ImageProcessor(size=SIZE, crop_to_patches=True), tokenizer,
        InternVLVideoProcessor(size=SIZE), image_seq_length=1,
        chat_template=CHATML_PLAIN.replace("IMAGE", "<IMG_CONTEXT>"),
    )  # fmt: skip
    return InternVLForConditionalGeneration(config), processor


def gemma3() -> tuple[Any, Any]:
    from transformers import (
        Gemma3Config,
        Gemma3ForConditionalGeneration,
        Gemma3ImageProcessor,
        Gemma3Processor,
        SiglipVisionConfig,
    )

    named = {
        "image_token": "<image_soft_token>", "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
    }  # fmt: skip
    newlines = ("\n", "\n\n", "\n\n\n", "\n\n\n\n")  # one token each, as Gemma has them
    special = (*named.values(), "<start_of_turn>", "<end_of_turn>", *newlines)
    tokenizer = tokenizer_with(special, bos="<bos>", **named)
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in named.items()}
    config = Gemma3Config(
        text_config={**TEXT, **text_ids(tokenizer), "head_dim": 32, "sliding_window": 512},
        vision_config=SiglipVisionConfig(**{**CLIP, "image_size": 56}, vision_use_head=False),
        mm_tokens_per_image=4, boi_token_index=ids["boi_token"], eoi_token_index=ids["eoi_token"],
        image_token_index=ids["image_token"],
    )  # fmt: skip
    processor = Gemma3Processor(
        Gemma3ImageProcessor(size={"height": 56, "width": 56}), tokenizer, chat_template=GEMMA,
        image_seq_length=4,
    )  # fmt: skip
    return Gemma3ForConditionalGeneration(config), processor


def smolvlm() -> tuple[Any, Any]:
    from transformers import (
        LlamaConfig,
        SmolVLMConfig,
        SmolVLMForConditionalGeneration,
        SmolVLMImageProcessor,
        SmolVLMProcessor,
        SmolVLMVideoProcessor,
    )

    named = {
        "image_token": "<image>", "fake_image_token": "<fake_token_around_image>",
        "end_of_utterance_token": "<end_of_utterance>", "global_image_token": "<global-img>",
    }  # fmt: skip
    rows = tuple(f"<row_{r}_col_{c}>" for r in range(1, 5) for c in range(1, 5))
    tokenizer = tokenizer_with((*named.values(), "<video>", *rows), **named)
    config = SmolVLMConfig(
        text_config=LlamaConfig(**TEXT, **text_ids(tokenizer)),
        vision_config={**CLIP, "image_size": 56, "model_type": "smolvlm_vision"},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"), scale_factor=2,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    edge = {"longest_edge": 56}
    processor = SmolVLMProcessor(
        SmolVLMImageProcessor(size={"longest_edge": 112}, max_image_size=edge), tokenizer,
        SmolVLMVideoProcessor(size=edge, max_image_size=edge), image_seq_len=4,
        chat_template=SMOL,
    )  # fmt: skip
    return SmolVLMForConditionalGeneration(config), processor


def mistral3() -> tuple[Any, Any]:
    from transformers import (
        Mistral3Config,
        Mistral3ForConditionalGeneration,
        MistralConfig,
        PixtralImageProcessor,
        PixtralProcessor,
        PixtralVisionConfig,
    )

    special = ("[IMG]", "[IMG_BREAK]", "[IMG_END]", "[INST]", "[/INST]", "[SYSTEM_PROMPT]")
    tokenizer = tokenizer_with((*special, "[/SYSTEM_PROMPT]"), bos="<s>")
    config = Mistral3Config(
        text_config=MistralConfig(**TEXT, **text_ids(tokenizer), head_dim=32),
        vision_config=PixtralVisionConfig(**{**CLIP, "image_size": 112}, head_dim=32),
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"), spatial_merge_size=2,
        vision_feature_layer=-1, tie_word_embeddings=False,
    )  # fmt: skip
    processor = PixtralProcessor(
        PixtralImageProcessor(patch_size=14, size={"longest_edge": 112}), tokenizer,
        patch_size=14, spatial_merge_size=2, chat_template=MISTRAL,
    )  # fmt: skip
    return Mistral3ForConditionalGeneration(config), processor
