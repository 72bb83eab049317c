"""A model as a folder in Hugging Face layout that needs none of our code.

Where transformers has the architecture (CLIP, SigLIP, SigLIP 2: clips are means of frames), its own
classes load the folder; else a modeling file travels along, which AutoModel runs with
`trust_remote_code`. Beside the weights: the tokenizer with the same ids, the image processor, and a
page with the code that uses them. `mama-train` takes the folder too. VIOLET and VGT are loaded by
this package alone: config, weights and tokenizer.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from mama_augment.core.errors import InputError
from mama_train.export import modeling_clip_vip, modeling_heads
from mama_train.export.card import card
from mama_train.models.answers import PREFIX, AnswerHead, answers_json, head_file
from mama_train.models.base import DualEncoder
from mama_train.models.clip_mean import ClipMean
from mama_train.models.clip_vip import ClipVip
from mama_train.models.heads import Heads
from mama_train.models.specs import FrameSpec
from mama_train.models.tokenizer import TextTokenizer
from mama_train.models.vgt.model import Vgt
from mama_train.models.violet.model import Violet
from mama_train.run.disk import disk_errors

BICUBIC = 3
"""Pillow's number of it."""
MODELING = {
    ClipVip: (modeling_clip_vip, "ClipVipConfig", "ClipVipModel"),
    Heads: (modeling_heads, "HeadsConfig", "HeadsModel"),
}


BY_US = (Violet, Vgt)
"""Models that only `mama_train.load_model` makes again."""


def write_export(
    out: Path, model: DualEncoder, tokenizer: TextTokenizer, *, checkpoint: Path | None
) -> None:
    """Write the folder. checkpoint: the one that the model is from, for what the page says.

    Raises:
        InputError: a model of somebody's own, which has no layout that others know.
    """
    if not isinstance(model, (ClipMean, *MODELING, *BY_US)):
        raise InputError(
            f"{type(model).__name__} cannot be exported: a model of one's own has its own code; "
            "its weights are model.safetensors of the checkpoint"
        )
    out.mkdir(parents=True, exist_ok=True)
    for there in out.iterdir():
        if there.is_symlink():  # nothing is written to where a link leads
            there.unlink()
    tensors = model.published_tensors()
    weights = {
        k: v.detach().cpu().contiguous() for k, v in tensors.items() if not k.startswith(PREFIX)
    }
    with disk_errors(out):
        save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
        if isinstance(model.answer_head, AnswerHead):
            head = {k: v.detach().cpu() for k, v in model.answer_head.state_dict().items()}
            save_file(head, head_file(out), metadata={"format": "pt"})
        tokenizer.save(out)
    config = {
        **model.config_json(),
        **answers_json(model.answer_head),
        **({} if isinstance(model, BY_US) else _classes(out, model)),
        "mama_train_frames": model.frame_spec.to_json(),
    }
    (out / "config.json").write_text(json.dumps(config, indent=1, default=str))
    if isinstance(model.frame_spec, FrameSpec) and not isinstance(model, BY_US):
        processor = _processor(model, model.frame_spec)
        (out / "preprocessor_config.json").write_text(json.dumps(processor, indent=1))
    (out / "README.md").write_text(card(model, tokenizer.max_tokens, checkpoint))


def _classes(out: Path, model: DualEncoder) -> dict[str, Any]:
    """What `config.json` says of the classes that load the folder; the modeling file goes along."""
    if isinstance(model, ClipMean):
        return {"architectures": [type(model.inner).__name__]}
    module, config_class, model_class = MODELING[type(model)]
    assert module.__file__ is not None
    shutil.copyfile(module.__file__, out / Path(module.__file__).name)
    name = Path(module.__file__).stem
    return {
        "architectures": [model_class],
        "auto_map": {"AutoConfig": f"{name}.{config_class}", "AutoModel": f"{name}.{model_class}"},
    }


def _processor(model: DualEncoder, spec: FrameSpec) -> dict[str, Any]:
    """The image processor that makes the model's pictures."""
    square = {"height": spec.size_px, "width": spec.size_px}
    common = {
        "do_resize": True,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "do_convert_rgb": True,
        "image_mean": list(spec.mean),
        "image_std": list(spec.std),
        "resample": BICUBIC,
    }
    if isinstance(model, ClipMean) and model.patch_px is not None:
        side = spec.size_px // model.patch_px
        sizes = {"patch_size": model.patch_px, "max_num_patches": side**2}
        return {**common, **sizes, "image_processor_type": "Siglip2ImageProcessor"}
    if spec.fit == "stretch":
        return {**common, "size": square, "image_processor_type": "SiglipImageProcessor"}
    return {
        **common,
        "size": {"shortest_edge": spec.size_px},
        "do_center_crop": True,
        "crop_size": square,
        "image_processor_type": "CLIPImageProcessor",
    }
