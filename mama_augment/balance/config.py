"""Everything that decides what `balance` writes; imports nothing heavy."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from mama_augment.balance.keep.settings import BalanceConfig
from mama_augment.balance.source.near import MODES as NEAR
from mama_augment.balance.source.near import check_near
from mama_augment.balance.source.scores import KEEP, check_least
from mama_augment.balance.splits import SplitSizes
from mama_augment.concepts.base import ConceptConfig
from mama_augment.concepts.forecast import FORECAST_NAME, concepts_beside
from mama_augment.concepts.language.curated import CURATED
from mama_augment.core.errors import InputError, check_choice
from mama_augment.core.fields import option
from mama_augment.core.manifest import fingerprint
from mama_augment.core.store.files import folder_and_name

MAX_SHARD_MB = 1_024


@dataclass(frozen=True, kw_only=True)
class BalanceStep:
    """Everything that decides what comes out."""

    concepts: ConceptConfig = field(
        default_factory=ConceptConfig, metadata=option(panel="Concepts")
    )
    balance: BalanceConfig = field(
        default_factory=BalanceConfig, metadata=option(panel="What is kept")
    )
    sizes: SplitSizes = field(default_factory=SplitSizes, metadata=option(panel="Splits"))
    splits_from: str | None = field(default=None, metadata=option(panel="Splits"))
    """An earlier output of `balance`: every video that is in it keeps its split."""
    reviews: str | None = field(default=None, metadata=option(panel="Splits"))
    """The output of `review`: accepted and edited texts are trusted, and serve in the split that
    they were reviewed for; rejected ones leave."""
    scores: str | None = field(default=None, metadata=option(panel="What is kept"))
    """The output of `score`: captions of the shards carry their agreement."""
    min_agreement: float | None = field(default=None, metadata=option(panel="What is kept"))
    """With --scores: texts that agree less with their clip leave, unless they are trusted."""
    keep: str = field(default="all", metadata=option(choices=KEEP, panel="What is kept"))
    """With --scores: of a clip's captions by one model, keep all, or the best by agreement."""
    features: str | None = field(default=None, metadata=option(panel="Splits"))
    """The output of `features`, for --near-duplicates."""
    near_duplicates: str | None = field(default=None, metadata=option(choices=NEAR, panel="Splits"))
    """Report training clips that look like held-out ones, or drop them."""
    near_cosine: float = field(default=0.97, metadata=option(panel="Splits"))
    """Two clips look alike whose vectors have at least this cosine."""
    regions: str | None = field(default=None, metadata=option(panel="What goes along"))
    """An output of `regions` for these clips: its boxes and vectors go to the shards."""
    plan: str | None = field(default=None, metadata=option("--plan", panel="Concepts"))
    """The plan that the captions follow: its concepts are counted, and what it expected is compared
    with what the captions brought."""
    shard_mb: int = 256
    """Approximate size of a shard, in MiB of frames."""

    def __post_init__(self) -> None:
        if not 1 <= self.shard_mb <= MAX_SHARD_MB:
            raise InputError(f"--shard-mb is {self.shard_mb}; allowed: 1 to {MAX_SHARD_MB}")
        check_choice("--keep", self.keep, KEEP)
        check_least(self.min_agreement, self.keep, self.scores)
        if self.near_duplicates is not None:
            check_choice("--near-duplicates", self.near_duplicates, NEAR)
        check_near(self.near_duplicates, self.features, self.near_cosine)
        if self.plan is not None and self.concepts.model is None:
            model = dataclasses.replace(self.concepts, model=concepts_beside(self.plan))
            object.__setattr__(self, "concepts", model)

    def manifest_config(self) -> dict[str, Any]:
        """The config as it is compared on a rerun: files by their content, not their path; that of
        `splits_from`, `reviews`, `scores` and `features` is filled in by who opens it."""
        config = dataclasses.asdict(self)
        config["concepts"]["vocabulary"] = _lists_fingerprint(self.concepts.vocabulary)
        config["concepts"]["edits"] = _file_fingerprint(self.concepts.edits)
        config["concepts"]["model"] = _file_fingerprint(
            self.concepts.model and f"{self.concepts.model.rstrip('/')}/model.json"
        )
        config["plan"] = _file_fingerprint(
            self.plan and f"{concepts_beside(self.plan)}/{FORECAST_NAME}"
        )
        if self.scores is None:  # nothing to keep by
            del config["keep"]
        if self.near_duplicates is None:
            del config["near_cosine"]
        # JSON has no infinity.
        config["balance"]["cap"] = None if self.balance.cap is None else str(self.balance.cap)
        return config


def _lists_fingerprint(names: str | None) -> str | None:
    """Of files and of the package's lists; None: concepts are mined."""
    if names is None:
        return None
    parts = [name.strip() for name in names.split(",")]
    if not set(parts) & set(CURATED):
        return _file_fingerprint(names)
    return ",".join(name if name in CURATED else str(_file_fingerprint(name)) for name in parts)


def _file_fingerprint(path: str | None) -> str | None:
    if path is None:
        return None
    source, name = folder_and_name(path)
    if source.size_bytes(name) is None:
        raise InputError(f"{path!r}: no such file")
    return fingerprint(source.read_bytes(name).decode())
