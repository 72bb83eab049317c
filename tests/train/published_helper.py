"""Tiny CLIP, SigLIP and SigLIP 2 (NaFlex) folders with random weights, as transformers saves them:
model, tokenizer, image processor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from mama_train.models.tokenizer import TextTokenizer

TEXTS = ["a red square moves left", "a blue square moves up", "A WHITE square"]
KINDS = ("clip", "siglip", "siglip2")
MAX_TOKENS = {"clip": 10, "siglip": 64, "siglip2": 64}
SIZES = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
PROCESSORS: dict[str, dict[str, Any]] = {
    "clip": {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 16},
        "crop_size": {"height": 16, "width": 16},
        "do_center_crop": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    },
    "siglip": {
        "image_processor_type": "SiglipImageProcessor",
        "size": {"height": 16, "width": 16},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    },
    "siglip2": {
        "image_processor_type": "Siglip2ImageProcessor",
        "patch_size": 8,
        "max_num_patches": 4,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    },
}


def tokenizer_of(kind: str) -> Any:
    """Words for CLIP and SigLIP; SigLIP 2 has the pieces of a Gemma tokenizer, in small letters."""
    import transformers as t

    max_tokens = MAX_TOKENS[kind]
    if kind == "siglip2":
        pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *"abcdefghijklmnopqrstuvwxyz"]
        vocabulary = {piece: i for i, piece in enumerate(pieces)}
        return t.Siglip2Tokenizer(
            vocab=vocabulary, merges=[], model_max_length=max_tokens, padding_side="right"
        )
    words = TextTokenizer.of_words(TEXTS, max_tokens=max_tokens)
    return t.PreTrainedTokenizerFast(
        tokenizer_object=words.fast.backend_tokenizer,
        bos_token="<|startoftext|>",
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        model_max_length=max_tokens,
    )


def write_published(folder: Path, kind: str) -> Path:
    """Nothing of it is at its initial value, so that no part can be left out unnoticed."""
    import transformers as t

    torch.manual_seed(0)
    tokenizer = tokenizer_of(kind)
    end = len(tokenizer) - 1
    text = {**SIZES, "vocab_size": len(tokenizer), "max_position_embeddings": MAX_TOKENS[kind]}
    text |= {"bos_token_id": end - 1, "eos_token_id": end, "pad_token_id": end}
    vision: dict[str, Any] = {**SIZES, "image_size": 16, "patch_size": 8}
    model: Any
    if kind == "clip":
        model = t.CLIPModel(t.CLIPConfig(text_config=text, vision_config=vision, projection_dim=12))
    elif kind == "siglip":
        model = t.SiglipModel(t.SiglipConfig(text_config=text, vision_config=vision))
    else:
        del vision["image_size"]
        vision["num_patches"] = 4
        model = t.Siglip2Model(t.Siglip2Config(text_config=text, vision_config=vision))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("logit"):
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
        model.logit_scale.fill_(2.5)
        if kind != "clip":
            model.logit_bias.fill_(-7.0)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    shared = {"do_resize": True, "do_rescale": True, "do_normalize": True, "resample": 3}
    (folder / "preprocessor_config.json").write_text(json.dumps({**shared, **PROCESSORS[kind]}))
    return folder
