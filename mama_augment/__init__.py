"""Turn a folder of videos into a balanced, accounted, captioned training set.

    from mama_augment import AskConfig, Balance, Caption, KeyFrames, run

    run(KeyFrames.of("videos"), "work/clips")
    run(Caption.of("work/clips", AskConfig(model="llava")), "work/captions")
    run(Balance("work/clips", ["work/captions"]), "shards")

docs/api.md shows it all. Names are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mama_augment.core.shared.lazy import lazily

if TYPE_CHECKING:
    from mama_augment.api import run as run
    from mama_augment.balance.config import BalanceStep as BalanceStep
    from mama_augment.balance.keep.settings import BalanceConfig as BalanceConfig
    from mama_augment.balance.splits import SplitSizes as SplitSizes
    from mama_augment.balance.step import Balance as Balance
    from mama_augment.budget.spend import BudgetConfig as BudgetConfig
    from mama_augment.budget.step import CaptionPlan as CaptionPlan
    from mama_augment.budget.step import make_caption_plan as make_caption_plan
    from mama_augment.caption.config import AskConfig as AskConfig
    from mama_augment.caption.config import CaptionRun as CaptionRun
    from mama_augment.caption.engines import ServingConfig as ServingConfig
    from mama_augment.caption.engines.base import ChatConfig as ChatConfig
    from mama_augment.caption.engines.base import SamplingConfig as SamplingConfig
    from mama_augment.caption.input.layout import GridLayout as GridLayout
    from mama_augment.caption.step import Caption as Caption
    from mama_augment.concepts.base import ConceptConfig as ConceptConfig
    from mama_augment.core.errors import InputError as InputError
    from mama_augment.core.errors import StoppedError as StoppedError
    from mama_augment.core.ledger import Ledger as Ledger
    from mama_augment.core.store.audit import audit as audit
    from mama_augment.core.store.step_dir import StepDir as StepDir
    from mama_augment.decode.config import LimitsConfig as LimitsConfig
    from mama_augment.decode.config import PictureConfig as PictureConfig
    from mama_augment.features.config import EncoderConfig as EncoderConfig
    from mama_augment.features.models import find_encoder as find_encoder
    from mama_augment.features.score import Score as Score
    from mama_augment.features.step import Features as Features
    from mama_augment.inputs.find import find_clips as find_clips
    from mama_augment.keyframes.config import ClipConfig as ClipConfig
    from mama_augment.keyframes.config import CutConfig as CutConfig
    from mama_augment.keyframes.config import KeyFramesStep as KeyFramesStep
    from mama_augment.keyframes.step import KeyFrames as KeyFrames
    from mama_augment.keyframes.strategies.config import KeyFrameConfig as KeyFrameConfig
    from mama_augment.people.export.config import ExportConfig as ExportConfig
    from mama_augment.people.export.run import export as export
    from mama_augment.people.report.build import build_report as build_report
    from mama_augment.people.validate import validate as validate
    from mama_augment.runtime import RuntimeConfig as RuntimeConfig
    from mama_augment.shapes.world.config import WorldConfig as WorldConfig
    from mama_augment.shapes.world.make import make_world as make_world

__version__ = "0.1.0"

_OWNERS = {
    "mama_augment.api": ("run",),
    "mama_augment.balance.config": ("BalanceStep",),
    "mama_augment.balance.keep.settings": ("BalanceConfig",),
    "mama_augment.balance.splits": ("SplitSizes",),
    "mama_augment.balance.step": ("Balance",),
    "mama_augment.budget.spend": ("BudgetConfig",),
    "mama_augment.budget.step": ("CaptionPlan", "make_caption_plan"),
    "mama_augment.caption.config": ("AskConfig", "CaptionRun"),
    "mama_augment.caption.engines": ("ServingConfig",),
    "mama_augment.caption.engines.base": ("ChatConfig", "SamplingConfig"),
    "mama_augment.caption.input.layout": ("GridLayout",),
    "mama_augment.caption.step": ("Caption",),
    "mama_augment.concepts.base": ("ConceptConfig",),
    "mama_augment.core.errors": ("InputError", "StoppedError"),
    "mama_augment.core.ledger": ("Ledger",),
    "mama_augment.core.store.audit": ("audit",),
    "mama_augment.core.store.step_dir": ("StepDir",),
    "mama_augment.decode.config": ("LimitsConfig", "PictureConfig"),
    "mama_augment.features.config": ("EncoderConfig",),
    "mama_augment.features.models": ("find_encoder",),
    "mama_augment.features.score": ("Score",),
    "mama_augment.features.step": ("Features",),
    "mama_augment.inputs.find": ("find_clips",),
    "mama_augment.keyframes.config": ("ClipConfig", "CutConfig", "KeyFramesStep"),
    "mama_augment.keyframes.step": ("KeyFrames",),
    "mama_augment.keyframes.strategies.config": ("KeyFrameConfig",),
    "mama_augment.people.export.config": ("ExportConfig",),
    "mama_augment.people.export.run": ("export",),
    "mama_augment.people.report.build": ("build_report",),
    "mama_augment.people.validate": ("validate",),
    "mama_augment.runtime": ("RuntimeConfig",),
    "mama_augment.shapes.world.config": ("WorldConfig",),
    "mama_augment.shapes.world.make": ("make_world",),
}
_get, __all__ = lazily(_OWNERS, globals())

if not TYPE_CHECKING:  # to a type checker it would mean that every name exists
    __getattr__ = _get


def __dir__() -> list[str]:
    return __all__
