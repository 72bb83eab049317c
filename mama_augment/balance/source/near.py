"""Training clips that look like held-out ones, by their vectors (`mama-augment features`).

A clip that was uploaded twice, or cut twice, has another file and another id; only its pictures
tell. Held-out clips are compared with all others, exactly: time grows with their number times all
clips, memory with theirs alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mama_augment.core.errors import InputError
from mama_augment.core.store.step_dir import StepDir
from mama_augment.features.vectors import vectors_of

MODES = ("report", "drop")
NUM_EXAMPLES = 20
Vectors = npt.NDArray[np.float32]


class Text(Protocol):
    """What is changed of a text."""

    reason: str | None


@dataclass(frozen=True, slots=True)
class Pair:
    """A clip, and the held-out one that it is most like."""

    clip_id: str
    split: str
    like: str
    like_split: str
    cosine: float

    def __str__(self) -> str:
        return f"{self.clip_id} ({self.split}) like {self.like} ({self.like_split})"


@dataclass(kw_only=True)
class NearDuplicates:
    """Clips that look like a held-out one of another split."""

    features: StepDir
    mode: str
    least: float
    """The cosine of two clips from which on they count as one."""
    pairs: dict[str, Pair] = field(default_factory=dict)
    num_without: int = 0
    """Held-out clips without a vector."""

    @classmethod
    def open(cls, uri: str, *, mode: str, least: float) -> NearDuplicates:
        """
        Raises:
            InputError: `uri` does not hold finished features.
        """
        features = StepDir.open(uri, step="features")
        features.check_finished()
        return cls(features=features, mode=mode, least=least)

    def find(self, held_out: Mapping[str, str]) -> None:
        """held_out: the split of every clip that serves in meta, val or test."""
        known, vectors_HD = self._held_out(held_out)
        self.num_without = len(held_out) - len(known)
        if not known:
            return
        splits = np.array([held_out[clip_id] for clip_id in known])
        for table in self.features.tables(["clip_id", "vector"]):
            ids = table["clip_id"].to_pylist()
            cosines = vectors_of(table) @ vectors_HD.T
            own = np.array([held_out.get(clip_id, "train") for clip_id in ids])
            cosines[own[:, None] == splits[None]] = -1.0
            best = cosines.argmax(axis=1)
            for row in np.flatnonzero(cosines.max(axis=1) >= self.least).tolist():
                like = known[int(best[row])]
                self.pairs[ids[row]] = Pair(
                    ids[row], str(own[row]), like, held_out[like], float(cosines[row, best[row]])
                )

    def _held_out(self, held_out: Mapping[str, str]) -> tuple[list[str], Vectors]:
        known: list[str] = []
        parts: list[Vectors] = []
        for table in self.features.tables(["clip_id", "vector"]):
            ids = table["clip_id"].to_pylist()
            rows = [row for row, clip_id in enumerate(ids) if clip_id in held_out]
            if rows:
                known += [ids[row] for row in rows]
                parts.append(vectors_of(table.take(rows)))
        return known, np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)

    def judge(self, clip_id: str, texts: Iterable[Text]) -> None:
        """Texts of a training clip that looks like a held-out one leave, where that is asked."""
        if self.mode == "drop" and clip_id in self.pairs:
            for text in texts:
                text.reason = text.reason or "near_duplicate"

    def to_json(self) -> dict[str, Any]:
        """For stats.json."""
        kinds = Counter(f"{pair.split} like {pair.like_split}" for pair in self.pairs.values())
        return {
            "mode": self.mode,
            "least_cosine": self.least,
            "num_clips": len(self.pairs),
            "kinds": dict(sorted(kinds.items())),
            "first": [
                {"clip_id": p.clip_id, "like": p.like, "cosine": round(p.cosine, 4)}
                for p in sorted(self.pairs.values(), key=lambda p: (-p.cosine, p.clip_id))
            ][:NUM_EXAMPLES],
        }

    def warnings(self) -> Sequence[str]:
        """What a person should look at."""
        found = []
        train = [pair for pair in self.pairs.values() if pair.split == "train"]
        if train and self.mode == "report":
            found.append(
                f"{len(train):,} training clips look like held-out ones (cosine of at least "
                f"{self.least}), such as {train[0]}: what is measured on these is partly learned "
                "by heart. --near-duplicates drop leaves them out"
            )
        if held := [pair for pair in self.pairs.values() if pair.split != "train"]:
            found.append(
                f"{len(held):,} held-out clips look like one of another held-out split, such as "
                f"{held[0]}"
            )
        if self.num_without:
            found.append(
                f"{self.num_without:,} held-out clips have no vector in "
                f"{self.features.folder.uri!r}, and were not compared"
            )
        return found


def check_near(mode: str | None, features: str | None, least: float) -> None:
    """
    Raises:
        InputError: an option asks for what features alone can tell.
    """
    if not 0 < least <= 1:
        raise InputError(f"--near-cosine is {least}; a cosine above 0 and up to 1 is needed")
    if mode is not None and features is None:
        raise InputError(
            f"--near-duplicates {mode} needs vectors: run `mama-augment features`, and give its "
            "output as --features DIR"
        )
    if mode is None and features is not None:
        raise InputError(
            "--features is given without --near-duplicates, and has no effect; add "
            "--near-duplicates report or drop"
        )
