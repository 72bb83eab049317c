"""Everything that decides what `balance` writes; imports nothing heavy."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from mama_augment.balance.keep.settings import BalanceConfig
from mama_augment.balance.splits import SplitSizes
from mama_augment.concepts.base import ConceptConfig
from mama_augment.core.errors import InputError
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
    shard_mb: int = 256
    """Approximate size of a shard, in MiB of frames."""

    def __post_init__(self) -> None:
        if not 1 <= self.shard_mb <= MAX_SHARD_MB:
            raise InputError(f"--shard-mb is {self.shard_mb}; allowed: 1 to {MAX_SHARD_MB}")

    def manifest_config(self) -> dict[str, Any]:
        """The config as it is compared on a rerun: files by their content, not their path; that of
        `splits_from` is filled in by who opens it."""
        config = dataclasses.asdict(self)
        config["concepts"]["vocabulary"] = _file_fingerprint(self.concepts.vocabulary)
        config["concepts"]["model"] = _file_fingerprint(
            self.concepts.model and f"{self.concepts.model.rstrip('/')}/model.json"
        )
        # JSON has no infinity.
        config["balance"]["cap"] = None if self.balance.cap is None else str(self.balance.cap)
        return config


def _file_fingerprint(path: str | None) -> str | None:
    if path is None:
        return None
    source, name = folder_and_name(path)
    if source.size_bytes(name) is None:
        raise InputError(f"{path!r}: no such file")
    return fingerprint(source.read_bytes(name).decode())
