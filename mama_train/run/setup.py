"""Everything a run needs before its first step, made from its config (or found on resuming)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from mama_augment.core.errors import InputError
from mama_train import ranks
from mama_train.config import TrainConfig
from mama_train.data.loader import BatchSource, Loader, LoaderConfig, concept_frequency
from mama_train.data.shards import SplitIndex, all_texts, read_concepts, read_index
from mama_train.models.base import DualEncoder
from mama_train.models.build import build
from mama_train.models.layers import Encoder
from mama_train.models.tokenizer import TextTokenizer
from mama_train.objective.weighting import WeightKind, WeightNet
from mama_train.run import checkpoint
from mama_train.run.checkpoint import Progress, Trainee
from mama_train.run.folder import find_run, start_run
from mama_train.run.optim import MovingAverage, make_optimizer

T = TypeVar("T")


@dataclass
class Setup:
    """The parts of one run. `weights` is what is really used: `none` without a meta split."""

    config: TrainConfig
    device: torch.device
    trainee: Trainee
    progress: Progress
    train: Loader
    meta: Loader | None
    val: BatchSource | None
    test: BatchSource | None
    concepts: list[dict[str, Any]]
    weights: WeightKind
    num_steps: int
    steps_per_epoch: int
    notes: list[str]

    @property
    def autocast(self) -> torch.dtype | None:
        return self.config.autocast()

    def is_due(self, every: int | None, step: int) -> bool:
        """Whether something that happens every so many steps (None: epochs) is due after `step`."""
        return step % (every or self.steps_per_epoch) == 0 or step == self.num_steps

    def with_average(self, work: Callable[[], T]) -> T:
        """Run `work` with the moving average in the model's place, where the run keeps one."""
        average, parameters = self.trainee.average, list(self.trainee.model.named_parameters())
        if average is None:
            return work()
        average.swap(parameters)
        try:
            return work()
        finally:
            average.swap(parameters)


def prepare(config: TrainConfig, *, resume: bool = False, overwrite: bool = False) -> Setup:
    """Read the shards' index, build the model, and find or start the run folder.

    Raises:
        InputError: shards, model or settings do not fit; or the run folder is in use.
    """
    device = config.torch_device()
    ranks.start(device)
    index = {split: read_index(config.shards, split) for split in ("train", "meta", "val", "test")}
    visited = index["train"].only(config.sources)
    _check_train(config, index["train"], visited)
    notes: list[str] = []
    earlier = find_run(config, notes, resume=resume, overwrite=overwrite)
    weights = _weights_in_use(config, index["meta"], notes)
    model, tokenizer = _model(config, index["train"], notes)
    start_run(config, resume=resume)
    concepts = read_concepts(config.shards)
    loader = _loader_factory(config, model, tokenizer, concepts)
    train = loader(visited, config.batch_size)
    meta = loader(index["meta"], config.meta_batch_size or config.batch_size)
    trainee = _trainee(config, model.to(device), tokenizer)
    progress = Progress() if earlier is None else _resume(earlier, trainee, notes)
    steps_per_epoch = len(train.plan(0))
    return Setup(
        config=config,
        device=device,
        trainee=trainee,
        progress=progress,
        train=train,
        meta=meta if weights == "mlp-meta" else None,
        val=_clips(loader, index["val"], notes),
        test=_clips(loader, index["test"], notes),
        concepts=concepts,
        weights=weights,
        num_steps=config.steps or config.epochs * steps_per_epoch,
        steps_per_epoch=steps_per_epoch,
        notes=notes,
    )


def _model(
    config: TrainConfig, train: SplitIndex, notes: list[str]
) -> tuple[DualEncoder, TextTokenizer]:
    model, tokenizer, new = build(
        config.model, all_texts(train), seed=config.seed, num_frames=config.num_frames
    )
    if new:
        notes.append(f"the given weights lack {', '.join(new)}; these start anew")
    _check_limits(config, model)
    return model, tokenizer


def _resume(earlier: Path, trainee: Trainee, notes: list[str]) -> Progress:
    progress, _ = checkpoint.load_progress(earlier)
    checkpoint.restore(earlier, trainee)
    notes.append(f"resumed at step {progress.step}")
    return progress


def _check_train(config: TrainConfig, all_sources: SplitIndex, visited: SplitIndex) -> None:
    if all_sources.num_clips == 0:
        raise InputError(
            f"{config.shards!r} holds no training clips (no rows in train/*.parquet); give the "
            "output of `mama-augment balance`"
        )
    if visited.num_captions == 0:
        raise InputError(
            f"none of the {all_sources.num_captions} training captions in {config.shards!r} is "
            f"{config.sources}; use --sources all"
        )
    share, num_generated = config.human_share, int(visited.is_generated_C.sum())
    if share is None:
        return
    found = {"human": visited.num_captions - num_generated, "generated": num_generated}
    for source, wanted in (("human", share), ("generated", 1 - share)):
        if wanted > 0 and found[source] == 0:
            raise InputError(
                f"human_share={share:g} mixes human and generated captions, but none of the "
                f"{visited.num_captions} to train on (--sources {config.sources}) is {source}; "
                "leave human_share out, or give other --sources or shards"
            )


def _weights_in_use(config: TrainConfig, meta: SplitIndex, notes: list[str]) -> WeightKind:
    if config.weights == "mlp-meta" and meta.num_captions == 0:
        notes.append("the shards have no meta split, so all samples weigh the same (weights none)")
        return "none"
    return config.weights


def _loader_factory(
    config: TrainConfig,
    model: DualEncoder,
    tokenizer: TextTokenizer,
    concepts: list[dict[str, Any]],
) -> Callable[[SplitIndex, int], Loader]:
    frequency = concept_frequency(concepts)

    def make(index: SplitIndex, batch_size: int) -> Loader:
        of_train = index.split == "train"
        loader_config = LoaderConfig(
            batch_size=batch_size,
            num_workers=config.num_workers,
            window_clips=config.window_clips,
            visit=config.visit if of_train else "caption",
            augment=config.augment if of_train else 0.0,
            human_share=config.human_share if of_train else None,
            seed=config.seed,
        )
        return Loader(index, model.frame_spec, tokenizer, frequency, loader_config)

    return make


def _clips(
    loader: Callable[[SplitIndex, int], Loader], index: SplitIndex, notes: list[str]
) -> BatchSource | None:
    if index.num_captions == 0:
        notes.append(f"the shards have no {index.split} split; evaluation on it is skipped")
        return None
    return loader(index, 2).clips


def _trainee(config: TrainConfig, model: DualEncoder, tokenizer: TextTokenizer) -> Trainee:
    model.train()
    if config.gradient_checkpointing:
        _enable_checkpointing(model)
    torch.manual_seed(config.seed)
    net = WeightNet().to(model.logit_scale.device)
    return Trainee(
        model=model,
        tokenizer=tokenizer,
        optimizer=make_optimizer(model, config),
        net=net,
        # A short memory: early meta gradients are many times larger than later ones.
        net_optimizer=torch.optim.Adam(net.parameters(), lr=config.weight_lr, betas=(0.9, 0.98)),
        average=None if config.ema_decay is None else MovingAverage(model, config.ema_decay),
    )


def _enable_checkpointing(model: DualEncoder) -> None:
    inner: Any = getattr(model, "inner", None)
    if inner is not None:
        inner.gradient_checkpointing_enable({"use_reentrant": False})
    for module in model.modules():
        if isinstance(module, Encoder):
            module.gradient_checkpointing = True


def _check_limits(config: TrainConfig, model: DualEncoder) -> None:
    dropouts = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Dropout) and m.p > 0]
    if dropouts:
        raise InputError(
            f"the model has dropout ({', '.join(dropouts[:3])}); the meta step needs two passes "
            "that agree: set it to 0 in config.json"
        )
    start = float(model.logit_scale.detach())
    if start > math.log(config.max_logit_scale) + 1e-6:
        raise InputError(
            f"the model's inverse temperature {math.exp(start):.1f} is above max_logit_scale "
            f"{config.max_logit_scale:g}; give --set max_logit_scale={math.ceil(math.exp(start))}"
        )
