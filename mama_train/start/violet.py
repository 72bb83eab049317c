"""VIOLET by name: a small one from nothing, or published weights in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mama_train.models.base import FROM_NOTHING_LR, DualEncoder
from mama_train.models.crossmodal.published import load_published
from mama_train.models.small import TABLE_SIZE, rotation, waves
from mama_train.models.tokenizer import TextTokenizer
from mama_train.models.violet.config import V1_SWIN, VioletConfig, tiny_violet
from mama_train.models.violet.model import Violet
from mama_train.models.violet.published import violet_keys
from mama_train.models.violet.swin import SwinConfig
from mama_train.models.weights import read_weights

USUAL_FRAMES = 6
HEAD = "fc.3.weight"
"""Of a published file: as many rows as the classes of its task."""


def tiny(tokenizer: TextTokenizer, num_frames: int | None) -> Violet:
    """From nothing. Its tables of places and times start as sines, as those of `small` do."""
    config = tiny_violet(tokenizer.vocab_size, num_frames=num_frames or USUAL_FRAMES)
    model = Violet(config, fit="stretch")
    model.usual_lr = FROM_NOTHING_LR
    _wave(model)
    return model


def of_json(config: dict[str, Any]) -> DualEncoder:
    """Without its weights, of a checkpoint's config."""
    sizes = VioletConfig.from_json(config["violet"])
    model = Violet(sizes)
    model.usual_lr = config.get("usual_lr", model.usual_lr)
    return model


def of_published(
    file: Path, config: dict[str, Any], num_frames: int | None
) -> tuple[Violet, list[str]]:
    """(model, parameters that start anew) of weights of VIOLET or VIOLETv2. A head of one number,
    for options or pairs, is taken; one of classes is not, as the file does not say which answers
    they are. config: what differs from the published sizes, under `violet`."""
    weights = read_weights(file)
    prefix = violet_keys(VioletConfig()).prefix
    named = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
    is_first = "enc_img.fc.weight" not in named
    swin = V1_SWIN if is_first else SwinConfig()
    given = {"swin": vars(swin), **config.get("violet", {})}
    takes_head = HEAD in named and len(named[HEAD]) == 1
    if num_frames is not None:
        given["num_frames"] = num_frames
    sizes = VioletConfig.from_json({**given, "form": "choice-class"})
    model = Violet(sizes)
    keys = violet_keys(sizes, new_head=not takes_head)
    return model, load_published(model, weights, keys, source=str(file))


@torch.no_grad()
def _wave(model: Violet) -> None:
    width, side = model.config.bert.hidden_size, model.config.max_side
    line = torch.linspace(-1, 1, side)
    y, x = torch.meshgrid(line, line, indexing="ij")
    places = [waves(axis.flatten(), width // 2, octaves=2) for axis in (x, y)]
    model.enc_img.emb_pos[0, 0, 1:] = TABLE_SIZE * torch.cat(places, 1) @ rotation(width)
    time = torch.linspace(-1, 1, model.config.max_frames)
    model.enc_img.emb_len[0, :, 0] = TABLE_SIZE * waves(time, width, octaves=3) @ rotation(width)
