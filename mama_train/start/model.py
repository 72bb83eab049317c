"""The model of a run, ready to train: built by name or taken from a checkpoint or from its owner,
with adapters, partly frozen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from mama_augment.core.errors import InputError
from mama_train.config import TrainConfig
from mama_train.data.features import heads_config
from mama_train.data.index import SplitIndex
from mama_train.data.regions import region_spec
from mama_train.models.base import DualEncoder
from mama_train.models.config import FROM_NOTHING, HEADS, VGT_TINY, VIOLET_TINY, ModelConfig
from mama_train.models.heads import Heads
from mama_train.models.layers import Encoder
from mama_train.models.tokenizer import TextTokenizer
from mama_train.models.vgt.model import Vgt
from mama_train.models.violet.model import Violet
from mama_train.start.build import build, build_from_checkpoint
from mama_train.start.lora import add_adapters
from mama_train.start.own import OwnModel
from mama_train.tasks.base import Task

SCALE = "logit_scale"
WHOLE = {HEADS: Heads, VIOLET_TINY: Violet, VGT_TINY: Vgt}
"""What --init has to hold beside one of these names."""
SHOWN = 8
"""Names that a note lists before it counts the rest."""
LOOKED_AT = 2000
"""Texts in which unknown words are counted."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """A model to train. new: names of parameters that start anew beside given weights."""

    model: DualEncoder
    tokenizer: TextTokenizer
    new: list[str] = field(default_factory=list)


def start_model(
    config: TrainConfig,
    train: SplitIndex,
    task: Task,
    notes: list[str],
    *,
    init: Path | None = None,
    own: OwnModel | None = None,
) -> Start:
    """What `config` says, on the CPU. init: the checkpoint that `config.model.init` names.

    Raises:
        InputError: a folder or setting does not fit.
    """
    torch.manual_seed(config.seed)
    if own is not None:
        start = Start(model=own.encoder(), tokenizer=own.text_tokenizer())
    elif init is not None and config.model.name in FROM_NOTHING:
        start = _whole(config.model, init, task.texts(train), notes)
    else:
        start = _by_name(config, train, task.texts(train), notes)
    if init is not None and config.model.name not in FROM_NOTHING:
        start = _taken_over(start, init, notes)
    model = start.model
    new = [*start.new, *task.fit(model, start.tokenizer, notes)]
    _limit_scale(model, config, notes)
    _freeze(model, config.model, new, notes)
    if config.model.lora is not None:
        new = [*new, *add_adapters(model, config.model, new)]
    if config.compute.gradient_checkpointing:
        _enable_checkpointing(model)
    if config.model.frozen_towers or config.model.lora is not None:
        notes.append(_trained_share(model, config.model))
    return Start(model=model, tokenizer=start.tokenizer, new=new)


def _by_name(
    config: TrainConfig, train: SplitIndex, words: Iterable[str], notes: list[str]
) -> Start:
    model, tokenizer, new = build(
        config.model.name,
        words,
        seed=config.seed,
        num_frames=config.model.num_frames,
        heads=partial(heads_config, train, config.model),
        regions=partial(region_spec, train, config.model.regions_column, config.model.linking),
    )
    if new:
        notes.append(f"the given weights lack {', '.join(new)}; these start anew")
    return Start(model=model, tokenizer=tokenizer, new=new)


def _whole(config: ModelConfig, init: Path, words: Iterable[str], notes: list[str]) -> Start:
    """The model of a checkpoint, with its words."""
    model, tokenizer = build_from_checkpoint(init, num_frames=config.num_frames)
    if not isinstance(model, WHOLE.get(config.name, DualEncoder)):
        raise InputError(
            f"--model {config.name} and --init {config.init!r}, which holds a "
            f"{type(model).__name__}; leave one of the two out"
        )
    notes.append(f"starts as the {type(model).__name__} of {config.init}, with its tokenizer")
    unknown = tokenizer.unknown_share(islice(words, LOOKED_AT))
    if unknown > 0:
        notes.append(f"{100 * unknown:.1f} % of the words of the texts are unknown to it")
    return Start(model=model, tokenizer=tokenizer)


@torch.no_grad()
def _taken_over(start: Start, init: Path, notes: list[str]) -> Start:
    """The same model with what fits it, by name and shape, of a checkpoint."""
    given, tokenizer = build_from_checkpoint(init)
    own, other = start.model.state_dict(), given.state_dict()
    same_words = tokenizer.vocabulary() == start.tokenizer.vocabulary()
    words = [] if same_words else [n for n in own if "token_embedding" in n]
    fits = [n for n in own if n in other and own[n].shape == other[n].shape and n not in words]
    if not set(fits) - {SCALE}:
        raise InputError(
            f"nothing in {str(init)!r} ({type(given).__name__}) fits the model "
            f"({type(start.model).__name__}); without --model, --init brings its own model"
        )
    start.model.load_state_dict({**own, **{name: other[name] for name in fits}})
    notes.append(f"{len(fits)} of {len(own)} tensors are those of {init}")
    shapes = [
        f"{n} {tuple(other[n].shape)} instead of {tuple(own[n].shape)}"
        for n in own
        if n in other and own[n].shape != other[n].shape
    ]
    left = {
        "of other words": words,
        "of another shape": shapes,
        "not in it": [n for n in own if n not in other],
        "in it, but not in the model": [n for n in other if n not in own],
    }
    notes += [f"not taken over, {why}: {_shown(names)}" for why, names in left.items() if names]
    new = [name for name in start.new if name not in fits]
    return Start(model=start.model, tokenizer=start.tokenizer, new=new)


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


@torch.no_grad()
def _limit_scale(model: DualEncoder, config: TrainConfig, notes: list[str]) -> None:
    """Published SigLIPs have more than the usual bound: that is lowered, and said. Somebody who
    asks for a lower bound than the model has is asked back."""
    start, bound = float(model.logit_scale), config.optim.max_logit_scale
    if start <= math.log(bound) + 1e-6:
        return
    if bound < type(config.optim)().max_logit_scale:
        raise InputError(
            f"the model's inverse temperature {math.exp(start):.1f} is above max_logit_scale "
            f"{bound:g}; give --set max_logit_scale={math.ceil(math.exp(start))}"
        )
    model.logit_scale.fill_(math.log(bound))
    notes.append(
        f"the model's inverse temperature is {math.exp(start):.1f}; it starts at the bound, "
        f"{bound:g} (--max-logit-scale)"
    )


def _freeze(model: DualEncoder, config: ModelConfig, new: list[str], notes: list[str]) -> None:
    model.freeze(config.frozen_towers, logit_scale=config.freeze_logit_scale)
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    if untaught := [name for name in new if name in frozen]:
        notes.append(
            f"{', '.join(untaught)} start anew and are frozen, so that they stay as drawn: prefer "
            "`clip-mean:` or weights that have them"
        )


def _trained_share(model: DualEncoder, config: ModelConfig) -> str:
    num = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    of = sum(p.numel() for p in model.parameters())
    what = " and ".join(config.frozen_towers)
    if config.lora is not None:
        adapters = f"all but adapters of rank {config.lora}"
        what = f"{what}, and {adapters} in the other tower" if what else adapters
    return f"frozen: {what}, {num:,} of {of:,} numbers of the model"


def _enable_checkpointing(model: DualEncoder) -> None:
    """Raises InputError for a model of one's own that does not offer it."""
    settings = {"use_reentrant": False}
    inner: Any = getattr(model, "inner", None) or getattr(model, "own", None)
    if hasattr(inner, "gradient_checkpointing_enable"):
        inner.gradient_checkpointing_enable(settings)
        return
    encoders = [module for module in model.modules() if isinstance(module, Encoder)]
    if not encoders:
        raise InputError(
            f"gradient_checkpointing is not for {type(inner or model).__name__}, which has no "
            "blocks to compute again; a module of one's own may offer it as "
            "gradient_checkpointing_enable(settings)"
        )
    for encoder in encoders:
        encoder.gradient_checkpointing = True
