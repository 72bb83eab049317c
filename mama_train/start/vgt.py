"""VGT by name: a small one from nothing, or published weights in a folder."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from mama_train.models.base import DualEncoder
from mama_train.models.crossmodal.published import load_published
from mama_train.models.specs import RegionSpec
from mama_train.models.tokenizer import TextTokenizer
from mama_train.models.vgt.config import VgtConfig, tiny_vgt
from mama_train.models.vgt.model import Vgt
from mama_train.models.vgt.published import VGT_KEYS
from mama_train.models.weights import read_weights

TINY_LR = 5e-4
"""Its blocks normalise after adding: with several times that, all options end alike."""


def tiny(tokenizer: TextTokenizer, spec: RegionSpec) -> Vgt:
    """From nothing, for the regions of the shards."""
    config = tiny_vgt(
        tokenizer.vocab_size,
        num_regions=spec.num_regions,
        num_frames=spec.num_frames,
        width=spec.width,
    )
    model = Vgt(config, spec)
    model.usual_lr = TINY_LR
    return model


def of_json(config: dict[str, Any], frames: dict[str, Any]) -> DualEncoder:
    """Without its weights, of a checkpoint's config."""
    sizes = VgtConfig.from_json(config["vgt"])
    of_clip = {**frames, "num_regions": sizes.num_regions, "width": sizes.feature_dim}
    model = Vgt(sizes, RegionSpec(**of_clip))
    model.usual_lr = config.get("usual_lr", model.usual_lr)
    return model


def of_published(file: Path, config: dict[str, Any], spec: RegionSpec) -> tuple[Vgt, list[str]]:
    """(model, parameters that start anew) of weights of VGT. config: what differs from the
    published sizes, under `vgt`; those of regions and vectors are the file's."""
    weights = read_weights(file)
    named = {name.removeprefix(VGT_KEYS.prefix): tensor for name, tensor in weights.items()}
    sizes = dict(config.get("vgt", {}))
    if (frame := named.get("linear_video.weight")) is not None:
        sizes.setdefault("feature_dim", frame.shape[1])
    if (edges := named.get("graph_trans.layer.0.attention.q_lin.weight")) is not None:
        sizes.setdefault("num_regions", math.isqrt(len(edges)))
    model = Vgt(VgtConfig.from_json(sizes), spec)
    return model, load_published(model, weights, VGT_KEYS, source=str(file))
