"""Everything a run needs before its first step, made from its config (or found on resuming)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch

from mama_augment.core.errors import InputError
from mama_train import ranks
from mama_train.config import TrainConfig
from mama_train.data.config import DataConfig
from mama_train.data.index import SplitIndex, concept_frequency, read_concepts, read_splits
from mama_train.data.loader import Loader
from mama_train.data.rows import all_agreements
from mama_train.data.source import BatchSource, Floats, Items, open_others
from mama_train.models.base import DualEncoder
from mama_train.models.tokenizer import TextTokenizer
from mama_train.objective.config import Weighting
from mama_train.objective.guard import check_passes
from mama_train.objective.weighting import WeightNet
from mama_train.run import checkpoint
from mama_train.run.config import ComputeConfig, OptimConfig
from mama_train.run.device import autocast_dtype, torch_device
from mama_train.run.folder import Found, check_longer, find_run, start_run
from mama_train.run.optim import (
    MovingAverage,
    lr_scales,
    make_net_optimizer,
    make_optimizer,
    settled,
)
from mama_train.run.state import Progress, Trainee
from mama_train.start.model import start_model
from mama_train.start.own import OwnModel
from mama_train.tasks.base import Task
from mama_train.tasks.registry import TASKS


@dataclass
class Setup:
    """The parts of one run. `weighting` and `optim` are what is really used: no weights without a
    meta split, and the model's usual learning rate where none is given. `others`: the test splits
    of further shards, by name."""

    config: TrainConfig
    weighting: Weighting
    optim: OptimConfig
    device: torch.device
    trainee: Trainee
    progress: Progress
    task: Task
    train: Loader
    meta: Loader | None
    val: BatchSource | None
    test: BatchSource | None
    others: dict[str, BatchSource]
    concepts: list[dict[str, Any]]
    num_steps: int
    steps_per_epoch: int
    notes: list[str]

    @property
    def autocast(self) -> torch.dtype | None:
        """What the encoders compute in; None: as their parameters are."""
        return autocast_dtype(self.config.compute.precision)

    @property
    def on_gpu(self) -> bool:
        """Whether batches are copied to a GPU."""
        return self.device.type == "cuda"

    def is_due(self, every: int | None, step: int) -> bool:
        """Whether something that happens every so many steps (None: epochs) is due after `step`."""
        return step % (every or self.steps_per_epoch) == 0 or step == self.num_steps


def prepare(config: TrainConfig, *, own: OwnModel | None = None, overwrite: bool = False) -> Setup:
    """Read the shards' index, build the model or take `own`, and find or start the run folder.

    Raises:
        InputError: shards, model or settings do not fit; or the run folder is in use.
    """
    device = torch_device(config.compute.device)
    ranks.start(device)
    index = read_splits(config.shards)
    notes: list[str] = []
    task = TASKS[config.task.name](config.task)
    if index["train"].num_clips:
        task.learn(index["train"], config.data, notes)
    items = {split: task.items(of_split) for split, of_split in index.items()}
    visited = items["train"].index
    if config.task.name == "retrieval":
        visited = visited.only(config.data.sources)
    _check_train(config.shards, config.data, items["train"].index, visited)
    by_agreement = config.loss.rule == "agreement"
    agreements = all_agreements(index["train"]) if by_agreement else None
    if config.weighting.kind == "oracle":
        task.check_truth(index["train"])
    found = find_run(config, notes, overwrite=overwrite)
    weighting = _weighting_in_use(config.weighting, items["meta"].index, notes)
    name = config.model.init
    init = None if name is None else checkpoint.find_checkpoint(name)
    start = start_model(config, index["train"], task, notes, init=init, own=own)
    model, tokenizer = start.model, start.tokenizer
    optim = settled(config.optim, model)
    scales = _lr_scales(model, optim, start.new, notes)
    is_meta = weighting.kind == "mlp-meta"
    _check_compile(config, is_meta=is_meta, notes=notes)
    _check_passes(config.compute, model.to(device).train(), tokenizer, is_meta=is_meta)
    others = open_others(config.save.eval_shards, model.frame_spec, tokenizer, task.items)
    concepts = read_concepts(config.shards)
    loaders = _Loaders(model, tokenizer, concepts, agreements, config.seed)
    train = loaders.of(dataclasses.replace(items["train"], index=visited), config.data)
    steps_per_epoch = len(train.epoch(0))
    num_steps = config.steps or config.epochs * steps_per_epoch
    check_longer(config, found, num_steps)
    start_run(config, found)
    optimizer = make_optimizer(model, optim, scales)
    trainee = _trainee(model, tokenizer, optimizer, config.seed, weighting, optim.ema_decay)
    progress = _resume(found, trainee, num_steps, notes)
    held_out = config.data.held_out(config.meta.batch_size)
    meta = loaders.of(items["meta"], held_out) if is_meta else None
    return Setup(
        config=config,
        weighting=weighting,
        optim=optim,
        device=device,
        trainee=trainee,
        progress=progress,
        task=task,
        train=train,
        meta=meta,
        val=loaders.to_evaluate(items["val"], held_out, notes),
        test=loaders.to_evaluate(items["test"], held_out, notes),
        others=others,
        concepts=concepts,
        num_steps=num_steps,
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

    def of(self, items: Items, data: DataConfig) -> Loader:
        return Loader(
            items.index,
            self.spec,
            self.tokenizer,
            self.frequency,
            data,
            seed=self.seed,
            agreements=self.agreements,
            make=items.make,
        )

    def to_evaluate(self, items: Items, data: DataConfig, notes: list[str]) -> BatchSource | None:
        if items.index.num_captions == 0:
            split = items.index.split
            notes.append(f"the shards have no {split} split; evaluation on it is skipped")
            return None
        return self.of(items, data).clips


def _check_compile(config: TrainConfig, *, is_meta: bool, notes: list[str]) -> None:
    """Say in which steps the encoders are compiled, or why not in any."""
    if not config.compute.compile:
        return
    if config.compute.rows_per_pass is not None:
        raise InputError(
            "compile is not for rows_per_pass, whose passes replay what was drawn; leave one out"
        )
    if is_meta and config.meta.every == 1:
        raise InputError(
            "compile finds nothing to do: with meta_every=1 every step has a forward-mode pass, "
            "which cannot be compiled; give --meta-every 2 or more, or other --weights"
        )
    if is_meta:
        every = config.meta.every
        notes.append(f"compiled: {every - 1} of {every} steps; meta steps and evaluation are not")


def _check_passes(
    compute: ComputeConfig, model: DualEncoder, tokenizer: TextTokenizer, *, is_meta: bool
) -> None:
    if is_meta or compute.rows_per_pass is not None:
        check_passes(model, tokenizer, autocast_dtype(compute.precision), forward_mode=is_meta)


def _lr_scales(
    model: DualEncoder, optim: OptimConfig, new: list[str], notes: list[str]
) -> dict[str, float]:
    scales = lr_scales(model, optim, new)
    trained = [scales[name] for name, p in model.named_parameters() if p.requires_grad]
    if min(trained) != max(trained):
        assert optim.lr is not None
        low, high = optim.lr * min(trained), optim.lr * max(trained)
        notes.append(f"peak learning rates from {low:.3g} to {high:.3g}")
    if optim.lr_new != 1 and not new:
        notes.append("no part of the model starts anew, so lr_new changes nothing")
    return scales


def _resume(found: Found, trainee: Trainee, num_steps: int, notes: list[str]) -> Progress:
    if found.checkpoint is None:
        return Progress()
    progress, _ = checkpoint.load_progress(found.checkpoint)
    checkpoint.restore(found.checkpoint, trainee)
    notes.append(f"resumed at step {progress.step}")
    if found.lengthens:
        notes.append(
            f"a finished run is lengthened to {num_steps} steps: from here on, all that follows a "
            "share of the run (learning rate, warm-ups) is that of the longer one"
        )
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
    optimizer: torch.optim.Optimizer,
    seed: int,
    weighting: Weighting,
    ema_decay: float | None,
) -> Trainee:
    model.train()
    torch.manual_seed(seed)
    net = WeightNet(weighting.hidden, weighting.output).to(model.logit_scale.device)
    return Trainee(
        model=model,
        tokenizer=tokenizer,
        optimizer=optimizer,
        net=net,
        net_optimizer=make_net_optimizer(net, weighting),
        average=None if ema_decay is None else MovingAverage(model, ema_decay),
    )
