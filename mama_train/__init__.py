"""Train video-language models with an angular margin and meta-learned sample weights.

    from mama_train import TrainConfig, train
    result = train(TrainConfig.of(shards="shards", out="runs/first", steps=300))
    print(result.metrics["test"]["text_to_video"]["R@1"])

Names are imported when they are first used: this module alone needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mama_augment.core.shared.lazy import lazily

if TYPE_CHECKING:
    from mama_augment.core.errors import InputError as InputError
    from mama_train.config import TrainConfig as TrainConfig
    from mama_train.data.batch import Batch as Batch
    from mama_train.data.config import DataConfig as DataConfig
    from mama_train.data.index import read_concepts as read_concepts
    from mama_train.data.index import read_index as read_index
    from mama_train.data.loader import Loader as Loader
    from mama_train.data.source import open_split as open_split
    from mama_train.errors import NonFiniteLossError as NonFiniteLossError
    from mama_train.measure.evaluate import evaluate as evaluate
    from mama_train.models.base import DualEncoder as DualEncoder
    from mama_train.models.config import ModelConfig as ModelConfig
    from mama_train.models.specs import FeatureSpec as FeatureSpec
    from mama_train.models.specs import FrameSpec as FrameSpec
    from mama_train.models.tokenizer import TextTokenizer as TextTokenizer
    from mama_train.models.towers import Tower as Tower
    from mama_train.objective.config import MarginLoss as MarginLoss
    from mama_train.objective.config import MetaConfig as MetaConfig
    from mama_train.objective.config import Weighting as Weighting
    from mama_train.objective.meta import VirtualStep as VirtualStep
    from mama_train.objective.meta import adamw_step as adamw_step
    from mama_train.objective.meta import meta_gradient as meta_gradient
    from mama_train.objective.objective import Objective as Objective
    from mama_train.objective.weighting import Weigher as Weigher
    from mama_train.objective.weighting import WeightNet as WeightNet
    from mama_train.run.checkpoint import load_model as load_model
    from mama_train.run.config import ComputeConfig as ComputeConfig
    from mama_train.run.config import OptimConfig as OptimConfig
    from mama_train.run.config import SaveConfig as SaveConfig
    from mama_train.run.config import WatchConfig as WatchConfig
    from mama_train.run.loop import TrainResult as TrainResult
    from mama_train.run.loop import train as train
    from mama_train.start.build import build as build
    from mama_train.start.own import OwnModel as OwnModel

__version__ = "0.1.0"

_OWNERS = {
    "mama_augment.core.errors": ("InputError",),
    "mama_train.config": ("TrainConfig",),
    "mama_train.data.batch": ("Batch",),
    "mama_train.data.config": ("DataConfig",),
    "mama_train.data.index": ("read_concepts", "read_index"),
    "mama_train.data.loader": ("Loader",),
    "mama_train.data.source": ("open_split",),
    "mama_train.errors": ("NonFiniteLossError",),
    "mama_train.measure.evaluate": ("evaluate",),
    "mama_train.models.base": ("DualEncoder",),
    "mama_train.models.specs": ("FeatureSpec", "FrameSpec"),
    "mama_train.start.build": ("build",),
    "mama_train.models.config": ("ModelConfig",),
    "mama_train.models.tokenizer": ("TextTokenizer",),
    "mama_train.models.towers": ("Tower",),
    "mama_train.objective.config": ("MarginLoss", "MetaConfig", "Weighting"),
    "mama_train.objective.meta": ("VirtualStep", "adamw_step", "meta_gradient"),
    "mama_train.objective.objective": ("Objective",),
    "mama_train.objective.weighting": ("WeightNet", "Weigher"),
    "mama_train.run.checkpoint": ("load_model",),
    "mama_train.run.config": ("ComputeConfig", "OptimConfig", "SaveConfig", "WatchConfig"),
    "mama_train.run.loop": ("TrainResult", "train"),
    "mama_train.start.own": ("OwnModel",),
}
_get, __all__ = lazily(_OWNERS, globals())

if not TYPE_CHECKING:  # to a type checker it would mean that every name exists
    __getattr__ = _get


def __dir__() -> list[str]:
    return __all__
