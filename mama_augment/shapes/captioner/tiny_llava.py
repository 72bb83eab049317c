"""The bundled captioner's anatomy: a LLaVA-1.5 in miniature, and how it is stored.

The same classes as LLaVA-1.5-7B (CLIP tower, two-layer projector, Llama), the same prompt
("USER: <image>\\n{prompt} ASSISTANT:"), the same files beside the weights; 240 px grids in 20 px
patches, so that each of the 3 x 4 cells is 3 x 4 patches of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SPECIAL_TOKENS = ("<unk>", "<s>", "</s>", "<pad>", "<image>")

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] != 'system' %}{{ message['role'].upper() + ': ' }}{% endif %}"
    "{% if message['content'] is string %}{{ message['content'] + ' ' }}{% else %}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ '<image>\n' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] + ' ' }}"
    "{% endfor %}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


@dataclass(frozen=True, kw_only=True)
class TinyLlavaConfig:
    """Sizes; in fp16 the defaults make a weight file of about 7 MB."""

    image_size_px: int = 240
    patch_size_px: int = 20
    width: int = 192
    head_width: int = 32
    num_vision_layers: int = 4
    num_text_layers: int = 3
    vocabulary_size: int = 512
    max_positions: int = 1024

    @property
    def num_image_tokens(self) -> int:
        """Patches per image, which is what the language model sees of it."""
        return (self.image_size_px // self.patch_size_px) ** 2


def build_model(config: TinyLlavaConfig) -> Any:
    """A `LlavaForConditionalGeneration` with fresh weights (fp32), drawn from torch's RNG."""
    from transformers import (
        CLIPVisionConfig,
        GenerationConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
    )

    ids = {token: i for i, token in enumerate(SPECIAL_TOKENS)}
    vision = CLIPVisionConfig(
        hidden_size=config.width,
        intermediate_size=4 * config.width,
        projection_dim=config.width,
        num_hidden_layers=config.num_vision_layers,
        num_attention_heads=config.width // config.head_width,
        image_size=config.image_size_px,
        patch_size=config.patch_size_px,
    )
    text = LlamaConfig(
        vocab_size=config.vocabulary_size,
        hidden_size=config.width,
        intermediate_size=8 * config.width // 3,
        num_hidden_layers=config.num_text_layers,
        num_attention_heads=config.width // config.head_width,
        num_key_value_heads=config.width // config.head_width,
        max_position_embeddings=config.max_positions,
        tie_word_embeddings=False,
        bos_token_id=ids["<s>"],
        eos_token_id=ids["</s>"],
        pad_token_id=ids["<pad>"],
    )
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=vision,
            text_config=text,
            image_token_index=ids["<image>"],
            image_seq_length=config.num_image_tokens,
            vision_feature_layer=-1,
            vision_feature_select_strategy="default",
            tie_word_embeddings=False,
            pad_token_id=ids["<pad>"],
            bos_token_id=ids["<s>"],
            eos_token_id=ids["</s>"],
        )
    )
    model.generation_config = GenerationConfig(
        bos_token_id=ids["<s>"], eos_token_id=ids["</s>"], pad_token_id=ids["<pad>"]
    )
    return model


def build_tokenizer(config: TinyLlavaConfig, corpus: Iterable[str]) -> Any:
    """Byte-level BPE learned on `corpus`: any prompt in any language has tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        corpus,
        trainers.BpeTrainer(
            vocab_size=config.vocabulary_size,
            special_tokens=list(SPECIAL_TOKENS),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    bos = SPECIAL_TOKENS.index("<s>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", bos)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens={"image_token": "<image>"},
        padding_side="left",
        model_max_length=config.max_positions,
        clean_up_tokenization_spaces=False,
    )


def build_processor(config: TinyLlavaConfig, tokenizer: Any) -> Any:
    """A `LlavaProcessor` that takes a grid of the model's own size through unchanged."""
    from transformers import CLIPImageProcessor, LlavaProcessor

    images = CLIPImageProcessor(
        size={"shortest_edge": config.image_size_px},
        crop_size={"height": config.image_size_px, "width": config.image_size_px},
    )
    return LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=config.patch_size_px,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,  # CLIP's class token, which LLaVA drops
        chat_template=CHAT_TEMPLATE,
    )


_HUB_PREFIXES = (
    ("model.vision_tower.", "vision_tower.vision_model."),
    ("model.multi_modal_projector.", "multi_modal_projector."),
    ("model.language_model.", "language_model.model."),
    ("lm_head.", "language_model.lm_head."),
)


def hub_name(name: str) -> str:
    """A parameter's name in the published LLaVA-1.5 files, from its name in transformers 5.

    vLLM reads only the published names; transformers reads both.
    """
    for prefix, hub in _HUB_PREFIXES:
        if name.startswith(prefix):
            rest = name.removeprefix(prefix).removeprefix("vision_model.")
            return hub + rest
    raise AssertionError(f"no place for parameter {name}")


def save(model: Any, processor: Any, directory: Path) -> None:
    """Weights in fp16 under the published names, the configs and the tokenizer.

    The config says float32: the weights are read up to it, for CPUs compute slowly in fp16.
    """
    import torch
    from safetensors.torch import save_file

    directory.mkdir(parents=True, exist_ok=True)
    model.config.architectures = [type(model).__name__]
    model.config.dtype = torch.float32
    model.config.text_config.dtype = model.config.vision_config.dtype = torch.float32
    model.config.save_pretrained(directory)
    model.generation_config.save_pretrained(directory)
    processor.save_pretrained(directory)
    tensors = {
        hub_name(name): value.detach().to("cpu", torch.float16).contiguous()
        for name, value in model.state_dict().items()
        if not name.endswith("position_ids")
    }
    weights = directory / "model.safetensors"
    save_file(tensors, weights, metadata={"format": "pt"})
    weights.chmod(0o644)
    for path in directory.glob("*.json"):  # the same bytes whatever wrote them
        content = json.loads(path.read_text())
        if "tokenizer_class" in content:
            content["tokenizer_class"] = "PreTrainedTokenizerFast"  # as older readers know it
        path.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
