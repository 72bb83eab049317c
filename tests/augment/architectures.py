"""Each family of captioners in miniature: random weights, its own processor and picture size."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

TEXT = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}
CLIP = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
QWEN_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
QWEN_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for c in m.content %}"
    "{% if c.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c.text }}"
    "{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
IMAGE_TEMPLATE = (
    "{% for m in messages %}USER: {% for c in m.content %}"
    "{% if c.type == 'image' %}IMAGE\n{% else %}{{ c.text }}{% endif %}{% endfor %} {% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


def tokenizer_with(special: tuple[str, ...], **named: str) -> Any:
    """Byte-level BPE with a family's own special tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokens = ["<pad>", "</s>", "<|im_start|>", "<|im_end|>", *special]
    tokenizer.train_from_iterator(
        ["describe the video"],
        trainers.BpeTrainer(
            vocab_size=400, special_tokens=tokens, show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )  # fmt: skip
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>",
        extra_special_tokens=named, model_max_length=4096,
    )  # fmt: skip


def make(model_type: str, directory: Path) -> Path:
    """Save a random model of `model_type` with its processor."""
    import torch

    torch.manual_seed(0)
    model, processor = MAKERS[model_type]()
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    model.save_pretrained(directory)
    processor.save_pretrained(directory)
    if model_type.startswith("llava"):
        _name_as_published(directory / "model.safetensors")
    return directory


def _name_as_published(path: Path) -> None:
    """Give a LLaVA's vision tower the names of published files, which vLLM knows alone."""
    published = {
        re.sub(r"^vision_tower\.(?!vision_model\.)", "vision_tower.vision_model.", name): tensor
        for name, tensor in load_file(path).items()
    }
    save_file(published, path, metadata={"format": "pt"})


def _text_ids(tokenizer: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _llava_next() -> tuple[Any, Any]:
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaNextConfig,
        LlavaNextForConditionalGeneration,
        LlavaNextImageProcessor,
        LlavaNextProcessor,
    )

    tokenizer = tokenizer_with(("<image>",), image_token="<image>")
    pinpoints = [[28, 56], [56, 28], [56, 56]]
    config = LlavaNextConfig(
        vision_config=CLIPVisionConfig(**CLIP, projection_dim=64),
        text_config=LlamaConfig(**TEXT, **_text_ids(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=pinpoints, vision_feature_layer=-1, tie_word_embeddings=False,
    )  # fmt: skip
    images = LlavaNextImageProcessor(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28},
        image_grid_pinpoints=pinpoints,
    )  # fmt: skip
    processor = LlavaNextProcessor(
        images, tokenizer, patch_size=14, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, chat_template=IMAGE_TEMPLATE.replace("IMAGE", "<image>"),
    )  # fmt: skip
    return LlavaNextForConditionalGeneration(config), processor


def _llava_onevision() -> tuple[Any, Any]:
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
        text_config=Qwen2Config(**TEXT, **_text_ids(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=pinpoints, vision_feature_layer=-1, tie_word_embeddings=False,
        vision_aspect_ratio="anyres_max_4",
    )  # fmt: skip
    size = {"height": 28, "width": 28}
    processor = LlavaOnevisionProcessor(
        LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=pinpoints), tokenizer,
        LlavaOnevisionVideoProcessor(size=size), num_image_tokens=4,
        vision_feature_select_strategy="full", vision_aspect_ratio="anyres_max_4",
        chat_template=IMAGE_TEMPLATE.replace("IMAGE", "<image>"),
    )  # fmt: skip
    return LlavaOnevisionForConditionalGeneration(config), processor


def _qwen_ids(tokenizer: Any) -> dict[str, int]:
    names = ("vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id")
    return dict(zip(names, tokenizer.convert_tokens_to_ids(list(QWEN_TOKENS)), strict=True))


def _qwen_images(patch_size: int) -> Any:
    from transformers import Qwen2VLImageProcessor

    return Qwen2VLImageProcessor(
        patch_size=patch_size, merge_size=2, temporal_patch_size=2,
        size={"shortest_edge": 28 * 28, "longest_edge": 1024 * 1024},
    )  # fmt: skip


def _qwen2_5_vl() -> tuple[Any, Any]:
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLVideoProcessor,
    )

    tokenizer = tokenizer_with(QWEN_TOKENS)
    rope = {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 10000.0}
    config = Qwen2_5_VLConfig(
        text_config={**TEXT, **_text_ids(tokenizer), "rope_parameters": rope},
        vision_config={"depth": 2, "hidden_size": 64, "intermediate_size": 96, "num_heads": 2,
                       "out_hidden_size": 64, "patch_size": 14, "fullatt_block_indexes": [1]},
        **_qwen_ids(tokenizer), tie_word_embeddings=False,
    )  # fmt: skip
    processor = Qwen2_5_VLProcessor(
        _qwen_images(14), tokenizer, Qwen2VLVideoProcessor(), chat_template=QWEN_TEMPLATE
    )
    return Qwen2_5_VLForConditionalGeneration(config), processor


def _qwen3_vl() -> tuple[Any, Any]:
    from transformers import (
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    tokenizer = tokenizer_with(QWEN_TOKENS)
    rope = {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 10000.0}
    config = Qwen3VLConfig(
        text_config={**TEXT, **_text_ids(tokenizer), "head_dim": 32, "rope_parameters": rope},
        vision_config={"depth": 2, "hidden_size": 64, "intermediate_size": 96, "num_heads": 2,
                       "out_hidden_size": 64, "patch_size": 16, "num_position_embeddings": 2304,
                       "deepstack_visual_indexes": [0]},
        **_qwen_ids(tokenizer), tie_word_embeddings=False,
    )  # fmt: skip
    processor = Qwen3VLProcessor(
        _qwen_images(16), tokenizer, Qwen3VLVideoProcessor(), chat_template=QWEN_TEMPLATE
    )
    return Qwen3VLForConditionalGeneration(config), processor


def _internvl() -> tuple[Any, Any]:
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
        text_config=Qwen2Config(**TEXT, **_text_ids(tokenizer)),
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=1, tie_word_embeddings=False,
    )  # fmt: skip
    size = {"height": 28, "width": 28}
    processor = InternVLProcessor(
        GotOcr2ImageProcessor(size=size, crop_to_patches=True), tokenizer,
        InternVLVideoProcessor(size=size), image_seq_length=1,
        chat_template=IMAGE_TEMPLATE.replace("IMAGE", "<IMG_CONTEXT>"),
    )  # fmt: skip
    return InternVLForConditionalGeneration(config), processor


def _llava() -> tuple[Any, Any]:
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    tokenizer = tokenizer_with(("<image>",), image_token="<image>")
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**CLIP, projection_dim=64),
        text_config=LlamaConfig(**TEXT, **_text_ids(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1, tie_word_embeddings=False,
    )  # fmt: skip
    images = CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    processor = LlavaProcessor(
        images, tokenizer, patch_size=14, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, chat_template=IMAGE_TEMPLATE.replace("IMAGE", "<image>"),
    )  # fmt: skip
    return LlavaForConditionalGeneration(config), processor


MAKERS = {
    "llava": _llava,
    "llava_next": _llava_next,
    "llava_onevision": _llava_onevision,
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen3_vl": _qwen3_vl,
    "internvl": _internvl,
}
