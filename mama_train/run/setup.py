"""Everything a run needs before its first step, made from its config (or found on resuming)."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mama_augment.core.errors import InputError
from mama_train import ranks
from mama_train.config import TrainConfig
from mama_train.data.config import DataConfig
from mama_train.data.features import heads_config
from mama_train.data.index import SplitIndex, read_concepts, read_splits
from mama_train.data.loader import BatchSource, Floats, Loader, concept_frequency
from mama_train.data.rows import all_agreements, all_texts, check_aligned
from mama_train.models.base import DualEncoder
from mama_train.models.build import build
from mama_train.models.layers import Encoder
from mama_train.models.tokenizer import TextTokenizer
from mama_train.objective.config import Weighting
from mama_train.objective.guard import check_passes
from mama_train.objective.weighting import WeightNet
from mama_train.run import checkpoint
from mama_train.run.config import OptimConfig
from mama_train.run.device import autocast_dtype, torch_device
from mama_train.run.folder import find_run, start_run
from mama_train.run.optim import MovingAverage, make_net_optimizer, make_optimizer
from mama_train.run.state import Progress, Trainee


@dataclass
class Setup:
    """The parts of one run. `weighting` and `optim` are what is really used: no weights without a
    meta split, and the model's usual learning rate where none is given."""

    config: TrainConfig
    weighting: Weighting
    optim: OptimConfig
    device: torch.device
    trainee: Trainee
    progress: Progress
    train: Loader
    meta: Loader | None
    val: BatchSource | None
    test: BatchSource | None
    concepts: list[dict[str, Any]]
    num_steps: int
    steps_per_epoch: int
    notes: list[str]

    @property
    def autocast(self) -> torch.dtype | None:
        """What the encoders compute in; None: as their parameters are."""
        return autocast_dtype(self.config.compute.precision)

    def is_due(self, every: int | None, step: int) -> bool:
        """Whether something that happens every so many steps (None: epochs) is due after `step`."""
        return step % (every or self.steps_per_epoch) == 0 or step == self.num_steps


def prepare(config: TrainConfig, *, resume: bool = False, overwrite: bool = False) -> Setup:
    """Read the shards' index, build the model, and find or start the run folder.

    Raises:
        InputError: shards, model or settings do not fit; or the run folder is in use.
    """
    device = torch_device(config.compute.device)
    ranks.start(device)
    index = read_splits(config.shards)
    visited = index["train"].only(config.data.sources)
    _check_train(config.shards, config.data, index["train"], visited)
    by_agreement = config.loss.rule == "agreement"
    agreements = all_agreements(index["train"]) if by_agreement else None
    if config.weighting.kind == "oracle":
        check_aligned(index["train"])
    notes: list[str] = []
    earlier = find_run(config, notes, resume=resume, overwrite=overwrite)
    weighting = _weighting_in_use(config.weighting, index["meta"], notes)
    optim = config.settled_optim()
    model, tokenizer = _model(config, index["train"], notes)
    is_meta = weighting.kind == "mlp-meta"
    if is_meta or config.compute.rows_per_pass is not None:
        autocast = autocast_dtype(config.compute.precision)
        check_passes(model.to(device).train(), tokenizer, autocast, forward_mode=is_meta)
    start_run(config, resume=resume)
    concepts = read_concepts(config.shards)
    loaders = _Loaders(model, tokenizer, concepts, agreements, config.seed)
    train = loaders.of(visited, config.data)
    trainee = _trainee(model.to(device), tokenizer, optim, weighting, config.seed)
    progress = Progress() if earlier is None else _resume(earlier, trainee, notes)
    steps_per_epoch = len(train.epoch(0))
    held_out = config.data.held_out(config.meta.batch_size)
    meta = loaders.of(index["meta"], held_out) if is_meta else None
    return Setup(
        config=config,
        weighting=weighting,
        optim=optim,
        device=device,
        trainee=trainee,
        progress=progress,
        train=train,
        meta=meta,
        val=loaders.to_evaluate(index["val"], held_out, notes),
        test=loaders.to_evaluate(index["test"], held_out, notes),
        concepts=concepts,
        num_steps=config.steps or config.epochs * steps_per_epoch,
        steps_per_epoch=steps_per_epoch,
        notes=notes,
    )


class _Loaders:
    """Makes the loaders of all splits, which hand over what one model takes."""

    def __init__(
        self,
        model: DualEncoder,
        tokenizer: TextTokenizer,
        concepts: list[dict[str, Any]],
        agreements: Floats | None,
        seed: int,
    ) -> None:
        self.agreements = agreements
        self.spec, self.tokenizer, self.seed = model.frame_spec, tokenizer, seed
        self.frequency = concept_frequency(concepts)

    def of(self, index: SplitIndex, data: DataConfig) -> Loader:
        return Loader(
            index,
            self.spec,
            self.tokenizer,
            self.frequency,
            data,
            seed=self.seed,
            agreements=self.agreements,
        )

    def to_evaluate(
        self, index: SplitIndex, data: DataConfig, notes: list[str]
    ) -> BatchSource | None:
        if index.num_captions == 0:
            notes.append(f"the shards have no {index.split} split; evaluation on it is skipped")
            return None
        return self.of(index, data).clips


def _model(
    config: TrainConfig, train: SplitIndex, notes: list[str]
) -> tuple[DualEncoder, TextTokenizer]:
    model, tokenizer, new = build(
        config.model.name,
        all_texts(train),
        seed=config.seed,
        num_frames=config.model.num_frames,
        heads=partial(heads_config, train, config.model),
    )
    if new:
        notes.append(f"the given weights lack {', '.join(new)}; these start anew")
    _check_limits(model, config.optim.max_logit_scale)
    if config.compute.gradient_checkpointing:
        _enable_checkpointing(model)
    return model, tokenizer


def _resume(earlier: Path, trainee: Trainee, notes: list[str]) -> Progress:
    progress, _ = checkpoint.load_progress(earlier)
    checkpoint.restore(earlier, trainee)
    notes.append(f"resumed at step {progress.step}")
    return progress


def _check_train(
    shards: str, data: DataConfig, all_sources: SplitIndex, visited: SplitIndex
) -> None:
    if all_sources.num_clips == 0:
        raise InputError(
            f"{shards!r} holds no training clips (no rows in train/*.parquet); give the "
            "output of `mama-augment balance`"
        )
    if visited.num_captions == 0:
        raise InputError(
            f"none of the {all_sources.num_captions} training captions in {shards!r} is "
            f"{data.sources}; use --sources all"
        )
    num_clips = visited.num_captioned_clips
    if num_clips < 2:
        raise InputError(
            f"the training captions in {shards!r} are all of one clip; give shards with at least "
            "two, because a caption's negatives are the other clips of its batch"
        )
    if min(data.batch_size, num_clips) < ranks.world():
        raise InputError(
            f"batches of {min(data.batch_size, num_clips)} captions for {ranks.world()} "
            "processes: give each process at least one, by fewer processes or a larger batch_size"
        )
    share, num_generated = data.human_share, int(visited.is_generated_C.sum())
    if share is None:
        return
    found = {"human": visited.num_captions - num_generated, "generated": num_generated}
    for source, wanted in (("human", share), ("generated", 1 - share)):
        if wanted > 0 and found[source] == 0:
            raise InputError(
                f"human_share={share:g} mixes human and generated captions, but none of the "
                f"{visited.num_captions} to train on (--sources {data.sources}) is {source}; "
                "leave human_share out, or give other --sources or shards"
            )


def _weighting_in_use(weighting: Weighting, meta: SplitIndex, notes: list[str]) -> Weighting:
    if weighting.kind == "mlp-meta" and meta.num_captions == 0:
        notes.append("the shards have no meta split, so all samples weigh the same (weights none)")
        return dataclasses.replace(weighting, kind="none")
    if weighting.kind == "mlp-meta" and meta.num_captioned_clips < 2:
        notes.append("the meta split has one clip, whose loss says nothing: weights none")
        return dataclasses.replace(weighting, kind="none")
    return weighting


def _trainee(
    model: DualEncoder,
    tokenizer: TextTokenizer,
    optim: OptimConfig,
    weighting: Weighting,
    seed: int,
) -> Trainee:
    model.train()
    torch.manual_seed(seed)
    net = WeightNet(weighting.hidden, weighting.output).to(model.logit_scale.device)
    return Trainee(
        model=model,
        tokenizer=tokenizer,
        optimizer=make_optimizer(model, optim),
        net=net,
        net_optimizer=make_net_optimizer(net, weighting),
        average=None if optim.ema_decay is None else MovingAverage(model, optim.ema_decay),
    )


def _enable_checkpointing(model: DualEncoder) -> None:
    inner: Any = getattr(model, "inner", None)
    if inner is not None:
        inner.gradient_checkpointing_enable({"use_reentrant": False})
    for module in model.modules():
        if isinstance(module, Encoder):
            module.gradient_checkpointing = True


def _check_limits(model: DualEncoder, max_logit_scale: float) -> None:
    start = float(model.logit_scale.detach())
    if start > math.log(max_logit_scale) + 1e-6:
        raise InputError(
            f"the model's inverse temperature {math.exp(start):.1f} is above max_logit_scale "
            f"{max_logit_scale:g}; give --set max_logit_scale={math.ceil(math.exp(start))}"
        )
