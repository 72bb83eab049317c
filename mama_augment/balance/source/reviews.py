"""What a person said of texts (`mama-augment review`), taken over by `balance`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from mama_augment.balance.source.earlier import NONE, Earlier
from mama_augment.core.schema import VERDICTS
from mama_augment.core.store.step_dir import StepDir

EDITED_SOURCE = "review"
"""Of a text that a person has rewritten: nobody's any more but theirs."""

Key = tuple[str, str]
"""(clip_id, what stood there): a review is of a text, not of a place in a table."""


class Text(Protocol):
    """What is looked at and changed of a text; `balance.corpus.Text` is one."""

    text: str
    source: str
    trusted: bool
    reason: str | None


@dataclass(kw_only=True)
class Reviews:
    """Verdicts by clip and text; as many as a person can give."""

    uri: str
    fingerprint: str
    rows: dict[Key, dict[str, Any]]
    accepted: dict[str, list[Key]]
    """By clip: texts that are to serve in a split."""
    there: set[Key] = field(default_factory=set)
    """Reviewed texts among the captions."""
    used: set[Key] = field(default_factory=set)
    placed: Counter[str] = field(default_factory=Counter)
    """Clips that got their split from a review, by split."""

    @classmethod
    def open(cls, uri: str) -> Reviews:
        """A review need not be finished.

        Raises:
            InputError: `uri` does not hold one.
        """
        step_dir = StepDir.open(uri, step="review")
        rows: dict[Key, dict[str, Any]] = {}
        accepted: dict[str, list[Key]] = {}
        for table in step_dir.tables():
            for row in table.to_pylist():
                key = (row["clip_id"], row["raw_text"])
                rows[key] = row
                if row["status"] == "ok" and row["split"] is not None:
                    accepted.setdefault(row["clip_id"], []).append(key)
        fingerprint = step_dir.input_fingerprint()
        return cls(uri=uri, fingerprint=fingerprint, rows=rows, accepted=accepted)

    def see(self, captions: pa.Table) -> None:
        """Take note of the reviewed texts among captions, before the clips are looked at: whose
        text is not there any more is not held out for it."""
        columns = (captions[name].to_pylist() for name in ("clip_id", "text"))
        self.there.update(key for key in zip(*columns, strict=True) if key in self.rows)

    def with_splits(self, table: pa.Table, earlier: Earlier | None) -> pa.Table:
        """Rows of clips, with the splits of reviews where nobody gave another: neither the input
        nor earlier shards, whose clips stay where they are."""
        ids, given = table["clip_id"].to_pylist(), table["split"].to_pylist()
        known = np.full(len(ids), NONE) if earlier is None else earlier.splits_of(ids)
        found = [
            self._split_of(table, row, clip_id)
            if split is None and not is_known and clip_id in self.accepted
            else split
            for row, (clip_id, split, is_known) in enumerate(
                zip(ids, given, (known != NONE).tolist(), strict=True)
            )
        ]
        place = table.schema.get_field_index("split")
        return table.set_column(place, table.schema.field(place), pa.array(found, pa.string()))

    def _split_of(self, table: pa.Table, row: int, clip_id: str) -> str | None:
        own = {(clip_id, text["text"]) for text in table["texts"][row].as_py()}
        for key in self.accepted[clip_id]:
            if key in self.there or key in own:
                split = str(self.rows[key]["split"])
                self.placed[split] += 1
                return split
        return None

    def judge(self, clip_id: str, text: Text) -> None:
        """Trust, replace or reject a text that was reviewed."""
        key = (clip_id, text.text)
        row = self.rows.get(key)
        if row is None:
            return
        self.used.add(key)
        if row["verdict"] == "rejected":
            text.reason = "review_rejected"
            return
        text.trusted = True
        if row["verdict"] == "edited":
            text.text, text.source = row["text"], EDITED_SOURCE

    def to_json(self) -> dict[str, Any]:
        """For stats.json: reviewed texts by verdict, those that are no longer there, and clips
        that a review put into a split."""
        counts = Counter(self.rows[key]["verdict"] for key in self.used)
        return {
            **{verdict: counts[verdict] for verdict in VERDICTS},
            "not_found": len(self.rows) - len(self.used),
            "splits": dict(sorted(self.placed.items())),
        }

    def warnings(self) -> Sequence[str]:
        """Reviews that came to nothing."""
        lost = len(self.rows) - len(self.used)
        if not lost:
            return ()
        return (
            f"{lost:,} of {len(self.rows):,} reviewed texts of {self.uri!r} are not among the "
            "texts given: their clips were captioned anew, or are not here. Give the captions "
            "that were reviewed",
        )
