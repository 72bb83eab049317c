"""The page that an exported model brings along: what it is, how to use it, how it was trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mama_train.models.base import DualEncoder
from mama_train.models.clip_mean import ClipMean
from mama_train.models.specs import FeatureSpec, FrameSpec, RegionSpec
from mama_train.models.vgt.model import Vgt
from mama_train.models.violet.model import Violet

SETTINGS = ("batch_size", "lr", "weights", "margin_kind", "margin_nats", "margin", "lora", "seed")
"""What a card says of a run."""
TRUST = (
    "Where the code above says `trust_remote_code`, it runs the `modeling_….py` of this folder, "
    "which is short enough to read."
)
LOAD = """\
import torch
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

model, tokenizer, processor = (
    kind.from_pretrained(folder{trust}) for kind in (AutoModel, AutoTokenizer, AutoImageProcessor)
)
"""
OF_IMAGES = """\
words = {{"truncation": True, "max_length": {tokens}, "return_tensors": "pt"}}
texts = tokenizer(texts, padding={padding}, **words)
images = processor(images=frames, return_tensors="pt")  # PIL images of one clip
with torch.no_grad():
    found = model(**images, **texts)
video = torch.nn.functional.normalize(found.image_embeds.mean(dim=0), dim=0)
print(found.text_embeds @ video)  # the cosine of each text and the clip
"""
OF_CLIPS = """\
words = {{"truncation": True, "max_length": {tokens}, "return_tensors": "pt"}}
texts = tokenizer(texts, padding=True, **words)
pixels = processor(images=frames, return_tensors="pt")["pixel_values"]  # PIL images of one clip
with torch.no_grad():
    found = model(pixel_values=pixels[None], **texts)
print(found.text_embeds @ found.video_embeds[0])  # the cosine of each text and the clip
"""
OF_FEATURES = """\
import torch
from transformers import AutoModel, AutoTokenizer

model, tokenizer = (
    kind.from_pretrained(folder, trust_remote_code=True) for kind in (AutoModel, AutoTokenizer)
)
words = {{"truncation": True, "max_length": {tokens}, "return_tensors": "pt"}}
texts = tokenizer(texts, padding=True, **words)
with torch.no_grad():
    found = model(features=features[None], **texts)  # [T, {width}], the vectors of one clip
print(found.text_embeds @ found.video_embeds[0])  # the cosine of each text and the clip
"""


OF_US = """\
import torch
from mama_train import load_model

model, tokenizer = load_model(folder)
ids, mask = tokenizer.encode(texts)
with torch.no_grad():
    found, video = model.eval().embed_text(ids, mask), model.embed_video(clip[None])
print(found @ video[0])  # the cosine of each text and the clip, {clip}
"""
OF_ANSWERS = """\
asked = ids[None]  # {asked}
with torch.no_grad():
    logits = model.answer(model.look(clip[None]), asked, mask[None])
"""


def snippet(model: DualEncoder, max_tokens: int) -> str:
    """Code that needs transformers alone; `folder`, `texts` and `frames` (or `features`) are the
    user's."""
    spec = model.frame_spec
    if isinstance(model, (Violet, Vgt)):
        return _ours(model)
    if isinstance(model, ClipMean):
        padding = '"max_length"' if model.is_siglip else "True"
        return LOAD.format(trust="") + OF_IMAGES.format(padding=padding, tokens=max_tokens)
    if isinstance(spec, FrameSpec):
        return LOAD.format(trust=", trust_remote_code=True") + OF_CLIPS.format(tokens=max_tokens)
    assert isinstance(spec, FeatureSpec)
    return OF_FEATURES.format(tokens=max_tokens, width=spec.width)


def _ours(model: Violet | Vgt) -> str:
    """Of a model that this package alone loads."""
    spec = model.frame_spec
    clip = "float [C,F,R+1,W+6], as `RegionSpec` says"
    if isinstance(spec, FrameSpec):
        clip = f"uint8 [{spec.num_frames},{spec.size_px},{spec.size_px},3]"
    code = OF_US.format(clip=clip)
    if model.answer_head is None:
        return code
    is_open = model.answer_head.config.kind == "qa-open"
    asked = "one question" if is_open else "a question with each of its options"
    return code + OF_ANSWERS.format(asked=asked)


def card(model: DualEncoder, max_tokens: int, checkpoint: Path | None) -> str:
    """Markdown. What is known of the run is read beside the checkpoint."""
    spec = model.frame_spec
    if isinstance(spec, FrameSpec):
        clip = f"{spec.num_frames} frames of {spec.size_px} px"
    elif isinstance(spec, RegionSpec):
        clip = (
            f"{spec.num_clips} x {spec.num_frames} frames with {spec.num_regions} regions each, "
            f"of {spec.extractor}"
        )
    else:
        clip = f"{spec.num_frames} vectors of {spec.width} numbers"
    kind = type(getattr(model, "inner", model)).__name__
    by_us = isinstance(model, (Violet, Vgt))
    library = "mama-video" if by_us else "transformers"
    how = "It needs this package: transformers has no such model." if by_us else TRUST
    return (
        f"---\nlibrary_name: {library}\ntags:\n- video-text-retrieval\n---\n\n"
        "# A video-text model\n\n"
        f"It maps clips ({clip}, evenly spread) and texts to unit vectors of {model.embed_dim} "
        f"dimensions; the cosine says how well they fit. Inverse temperature: "
        f"{float(model.logit_scale.detach().exp()):.2f}. Architecture: {kind}.\n\n"
        f"```python\n{snippet(model, max_tokens)}```\n\n"
        "`mama-train eval`, `embed` and `run --init` take the folder as it is. It is a pickle-free "
        f"`safetensors` file. {how}\n\n"
        f"{_training(checkpoint)}"
    )


def _training(checkpoint: Path | None) -> str:
    state = {} if checkpoint is None else _json(checkpoint / "run.json")
    if checkpoint is None or not state:
        return ""
    settings = state["config"]
    said = ", ".join(f"{k} {settings[k]}" for k in SETTINGS if settings.get(k) is not None)
    text = f"## Training\n\n{state['progress']['step']} steps with mama-train: {said}.\n"
    test = (_json(checkpoint.parent.parent / "metrics.json").get("test")) or {}
    if found := test.get("text_to_video"):
        ranks = ", ".join(f"R@{k} {found[f'R@{k}']:.1f} %" for k in (1, 5, 10))
        text += (
            f"\nText to video on its test split ({found['num_queries']} queries): {ranks}, of the "
            "run's best checkpoint.\n"
        )
    elif found := test.get("answers"):
        text += (
            f"\nIt answers {found['acc']:.1f} % of the {found['num_questions']} questions of the "
            "test split; `mama-train eval` asks it others.\n"
        )
    return text


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}
