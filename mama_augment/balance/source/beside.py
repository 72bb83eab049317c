"""What `balance` may read beside clips and captions: earlier shards, reviews, scores, regions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mama_augment.balance.source.earlier import Earlier
from mama_augment.balance.source.near import NearDuplicates
from mama_augment.balance.source.reviews import Reviews
from mama_augment.balance.source.scores import Scores
from mama_augment.core.store.step_dir import StepDir


class Named(Protocol):
    """Where they lie; `balance.config.BalanceStep` says so."""

    @property
    def splits_from(self) -> str | None: ...
    @property
    def reviews(self) -> str | None: ...
    @property
    def scores(self) -> str | None: ...
    @property
    def min_agreement(self) -> float | None: ...
    @property
    def keep(self) -> str: ...
    @property
    def features(self) -> str | None: ...
    @property
    def near_duplicates(self) -> str | None: ...
    @property
    def near_cosine(self) -> float: ...
    @property
    def regions(self) -> str | None: ...


@dataclass(frozen=True, kw_only=True)
class Beside:
    """Those that are given."""

    earlier: Earlier | None = None
    """Shards whose splits are kept."""
    reviews: Reviews | None = None
    """What a person said of texts."""
    scores: Scores | None = None
    """How well texts agree with their clips."""
    near: NearDuplicates | None = None
    """Training clips that look like held-out ones."""
    regions: StepDir | None = None
    """Boxes and vectors that go along."""

    @classmethod
    def open(cls, named: Named, out: str) -> Beside:
        """
        Raises:
            InputError: a directory is not what it is given for.
        """
        earlier = reviews = scores = near = None
        if named.splits_from is not None:
            earlier = Earlier.open(named.splits_from, out)
        if named.reviews is not None:
            reviews = Reviews.open(named.reviews)
        if named.scores is not None:
            scores = Scores.open(named.scores, least=named.min_agreement, keep=named.keep)
        if named.features is not None and named.near_duplicates is not None:
            near = NearDuplicates.open(
                named.features, mode=named.near_duplicates, least=named.near_cosine
            )
        regions = None
        if named.regions is not None:
            regions = StepDir.open(named.regions, step="regions")
        return cls(earlier=earlier, reviews=reviews, scores=scores, near=near, regions=regions)

    def fingerprints(self) -> dict[str, str]:
        """By the setting's name: the content that a rerun compares."""
        found = {}
        if self.earlier is not None:
            found["splits_from"] = self.earlier.step_dir.input_fingerprint()
        if self.reviews is not None:
            found["reviews"] = self.reviews.fingerprint
        if self.scores is not None:
            found["scores"] = self.scores.fingerprint
        if self.near is not None:
            found["features"] = self.near.features.input_fingerprint()
        if self.regions is not None:
            found["regions"] = self.regions.input_fingerprint()
        return found
