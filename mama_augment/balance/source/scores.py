"""How well texts agree with their clips (`mama-augment score`), taken over by `balance`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mama_augment.core.draws import draw_bits
from mama_augment.core.errors import InputError
from mama_augment.core.schema import is_generated
from mama_augment.core.store.step_dir import StepDir

KEEP = ("all", "best")


class Text(Protocol):
    """What is looked at and changed of a text; `balance.corpus.Text` is one."""

    text: str
    source: str
    trusted: bool
    reason: str | None
    agreement: float | None


@dataclass(kw_only=True)
class Scores:
    """Agreement by clip and text; 12 bytes a text."""

    uri: str
    fingerprint: str
    least: float | None
    """Texts that agree less leave."""
    keep_best: bool
    """Of the captions of a clip that one model wrote, the one that agrees most stays."""
    keys: npt.NDArray[np.uint64]
    agreement: npt.NDArray[np.float32]
    num_scored: int = 0
    num_without: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @classmethod
    def open(cls, uri: str, *, least: float | None = None, keep: str = "all") -> Scores:
        """
        Raises:
            InputError: `uri` does not hold finished scores.
        """
        step_dir = StepDir.open(uri, step="score")
        step_dir.check_finished()
        keys, found = [np.array([], np.uint64)], [np.array([], np.float32)]
        for table in step_dir.tables(["clip_id", "text", "agreement"]):
            columns = (table[name].to_pylist() for name in ("clip_id", "text"))
            pairs = zip(*columns, strict=True)
            keys.append(np.fromiter((text_key(*pair) for pair in pairs), np.uint64, len(table)))
            found.append(table["agreement"].to_numpy().astype(np.float32))
        all_keys = np.concatenate(keys)
        order = np.argsort(all_keys, kind="stable")
        return cls(
            uri=uri,
            fingerprint=step_dir.input_fingerprint(),
            least=least,
            keep_best=keep == "best",
            keys=all_keys[order],
            agreement=np.concatenate(found)[order],
        )

    def of(self, clip_id: str, text: str) -> float | None:
        """The agreement of a text; None: it was not scored."""
        key = np.uint64(text_key(clip_id, text))
        at = int(np.searchsorted(self.keys, key))
        if at == len(self.keys) or self.keys[at] != key:
            return None
        return float(self.agreement[at])

    def note(self, clip_id: str, text: Text) -> None:
        """Give a text its score, if it has one."""
        text.agreement = self.of(clip_id, text.text)

    def judge(self, texts: Sequence[Text]) -> None:
        """All texts of a clip: those that agree too little leave, and those that another caption
        is better than. A trusted text stays, and so does one that has no score."""
        for text in texts:
            self.num_scored += text.agreement is not None
            self.num_without += text.agreement is None
            is_low = None not in (self.least, text.agreement) and text.agreement < self.least  # type: ignore[operator]
            if text.reason is None and not text.trusted and is_low:
                text.reason = "low_agreement"
                self.reasons["low_agreement"] += 1
        if self.keep_best:
            for source in {t.source for t in texts if is_generated(t.source)}:
                self._keep_best([t for t in texts if t.source == source and t.reason is None])

    def _keep_best(self, texts: Sequence[Text]) -> None:
        scored = [t for t in texts if t.agreement is not None and not t.trusted]
        best = max(scored, key=lambda t: t.agreement or 0.0, default=None)
        for text in scored:
            if text is not best:
                text.reason = "not_best"
                self.reasons["not_best"] += 1

    def to_json(self) -> dict[str, Any]:
        """For stats.json."""
        return {
            "num_scored": self.num_scored,
            "num_without": self.num_without,
            "min_agreement": self.least,
            **{reason: self.reasons[reason] for reason in ("low_agreement", "not_best")},
        }

    def warnings(self) -> Sequence[str]:
        """Texts that nothing is known of."""
        if not self.num_without:
            return ()
        total = self.num_scored + self.num_without
        return (
            f"{self.num_without:,} of {total:,} texts have no score in {self.uri!r}, and are kept "
            "whatever --min-agreement says; score the captions that are balanced",
        )


def text_key(clip_id: str, text: str) -> int:
    """64 bits in place of a clip and its text."""
    return draw_bits(0, "score", clip_id, text)


def check_least(least: float | None, keep: str, scores: str | None) -> None:
    """
    Raises:
        InputError: an option asks for what scores alone can tell.
    """
    if least is not None and not -1 <= least <= 1:
        raise InputError(f"--min-agreement is {least}; a cosine is from -1 to 1")
    if scores is None and (least is not None or keep != "all"):
        given = "--min-agreement" if least is not None else f"--keep {keep}"
        raise InputError(
            f"{given} needs scores: run `mama-augment score`, and give its output as --scores DIR"
        )
