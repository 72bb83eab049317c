"""What a training set holds, counted while it is decided; the files beside the shards say it."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mama_augment.balance.corpus import ClipTexts
from mama_augment.balance.repeats import Repeats
from mama_augment.balance.selection import count_visits
from mama_augment.balance.source.earlier import Changes
from mama_augment.balance.source.near import NearDuplicates
from mama_augment.balance.source.reviews import Reviews
from mama_augment.balance.source.scores import Scores
from mama_augment.concepts.histogram import spread
from mama_augment.concepts.language.words import words
from mama_augment.core.schema import HELD_OUT, SPLITS, is_generated
from mama_augment.core.store.files import Folder
from mama_augment.core.store.sidecars import CONCEPTS_NAME, STATS_NAME

CARD_NAME = "README.md"
MAX_SHORT = 20
"""Concepts of a split that cannot be filled: so many are listed, all are counted."""


@dataclass(kw_only=True)
class ShardStats:
    """Counts over all clips; visits are captions, and `before` and `after` are of train alone."""

    names: Sequence[str]
    warnings: list[str] = field(default_factory=list)
    short: Mapping[str, Sequence[int]] = field(default_factory=dict)
    cap: float = 0.0
    keep: Mapping[str, Any] = field(default_factory=dict)
    """The rule, the share that is kept, and the curve that it was chosen from."""
    forecast: Mapping[str, Any] | None = None
    """What a plan expected, and what the captions brought."""
    is_weighted: bool = False
    """Nothing is dropped: a caption is visited as often as its keep probability says."""
    given: npt.NDArray[np.int64] = field(init=False)
    """Visits of the texts that came with the videos."""
    before: npt.NDArray[np.int64] = field(init=False)
    after: npt.NDArray[np.int64] = field(init=False)
    """With weights: expected, rounded."""
    _expected: npt.NDArray[np.float64] = field(init=False)
    wanted: Counter[str] = field(default_factory=Counter)
    """Clips of each split, whether or not a text of theirs may serve there."""
    rows: Counter[str] = field(default_factory=Counter)
    captions: Counter[str] = field(default_factory=Counter)
    questions: Counter[str] = field(default_factory=Counter)
    num_train_texts: int = 0
    """Before the head is thinned, whether or not they match a concept."""
    reasons: Counter[str] = field(default_factory=Counter)
    sources: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    repeats: Repeats = field(default_factory=Repeats)
    changes: Changes | None = None
    """Against the shards whose splits are kept."""
    reviews: Reviews | None = None
    """What a person said of texts."""
    scores: Scores | None = None
    """How well they agree with their clips."""
    near: NearDuplicates | None = None
    """Clips that look like held-out ones."""
    num_words: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))

    def __post_init__(self) -> None:
        for name in ("given", "before", "after"):
            setattr(self, name, np.zeros(len(self.names), np.int64))
        self._expected = np.zeros(len(self.names))

    def count_before(self, clip: ClipTexts) -> None:
        """Count a clip whose split is settled, before the head is thinned."""
        self.rows["in"] += 1
        self.wanted[clip.split or ""] += 1
        for text in clip.texts:
            self.sources[text.source]["in"] += 1
        if clip.split == "train":
            kept = clip.kept()
            self.num_train_texts += len(kept)
            count_visits(kept, len(self.names), self.before)
            own = [text for text in kept if not is_generated(text.source)]
            count_visits(own, len(self.names), self.given)

    def count_after(self, clip: ClipTexts) -> None:
        """Count a clip once everything about it is decided."""
        kept = clip.kept()
        split = clip.split or ""
        if not clip.texts:
            self.reasons["no_text"] += 1
        self.reasons.update(text.reason for text in clip.texts if text.reason is not None)
        if not kept:
            return
        self.rows[split] += 1
        num_questions = sum(text.is_question for text in kept)
        self.captions[split] += len(kept) - num_questions
        self.questions[split] += num_questions
        if split == "train":
            if self.is_weighted:
                for text in kept:
                    self._expected[text.concept_ids] += text.keep_probability
            else:
                count_visits(kept, len(self.names), self.after)
        for text in kept:
            self.sources[text.source][split] += 1
            kind = "generated" if is_generated(text.source) else "given"
            kind = "questions" if text.is_question else kind
            self.num_words[kind][len(words(text.text))] += 1

    def count_changes(self, clips: Sequence[ClipTexts]) -> None:
        """Count a bucket of clips that are decided."""
        if self.changes is not None:
            self.changes.count([c.clip_id for c in clips if c.split == "train" and c.kept()])

    def finish(self) -> None:
        """Add the warnings that only the outcome shows."""
        if self.is_weighted:
            self.after = np.rint(self._expected).astype(np.int64)
        for split, short in self.short.items():
            if short:
                names = "; ".join(self.names[i] for i in short[:MAX_SHORT])
                more = f"; and {len(short) - MAX_SHORT:,} more" if len(short) > MAX_SHORT else ""
                self.warnings.append(
                    f"the {split} split cannot be filled with an even share of {len(short):,} of "
                    f"{len(self.names):,} concepts, for want of trusted clips: {names}{more}"
                )
        for split in HELD_OUT:
            if lost := self.wanted[split] - self.rows[split]:
                self.warnings.append(
                    f"{lost:,} of {self.wanted[split]:,} clips of the {split} split are left out: "
                    "they have no text that is `trusted` in the input manifest, or their video "
                    "serves in another held-out split"
                )
        if self.num_train_texts and not self.before.any():
            self.warnings.append(
                f"none of the {self.num_train_texts:,} training texts is about any of the "
                f"{len(self.names):,} concepts: nothing was balanced. Check --concepts and the "
                "vocabulary, column or model that it reads"
            )
        self.warnings.extend(self.repeats.warnings())
        for beside in (self.reviews, self.scores, self.near):
            self.warnings.extend(beside.warnings() if beside is not None else ())
        if not self.rows["train"]:
            self.warnings.append(
                "the train split is empty: no clip outside the held-out splits has a text"
            )

    def to_json(self) -> dict[str, Any]:
        """The content of stats.json; spreads are over the concepts that any train text is about."""
        present = self.before > 0
        num_rows = max(1, sum(self.rows[split] for split in SPLITS))
        changes = (
            {}
            if self.changes is None
            else {"changes": self.changes.to_json(self.rows, self.captions)}
        )
        return {
            "num_clips": self.rows["in"],
            "splits": {
                split: {
                    "num_rows": self.rows[split],
                    "share": self.rows[split] / num_rows,
                    "num_captions": self.captions[split],
                    **({"num_questions": self.questions[split]} if self.questions.total() else {}),
                }
                for split in SPLITS
            },
            "cap": self.cap if np.isfinite(self.cap) else None,
            "keep": self.keep,
            "train_visits": {
                name: {
                    "num_visits": int(counts.sum()),
                    **dataclasses.asdict(spread(counts, present)),
                }
                for name, counts in (
                    ("given", self.given),
                    ("before", self.before),
                    ("after", self.after),
                )
            },
            "rejects": dict(sorted(self.reasons.items())),
            "sources": {name: dict(sorted(c.items())) for name, c in sorted(self.sources.items())},
            "caption_words": {
                kind: {str(n): c for n, c in sorted(counts.items())}
                for kind, counts in sorted(self.num_words.items())
            },
            "near_identical": self.repeats.to_json(),
            "short_concepts": {
                split: {"num_concepts": len(ids), "first_ids": list(ids[:MAX_SHORT])}
                for split, ids in self.short.items()
            },
            **changes,
            **({} if self.reviews is None else {"reviews": self.reviews.to_json()}),
            **({} if self.scores is None else {"scores": self.scores.to_json()}),
            **({} if self.near is None else {"near_duplicates": self.near.to_json()}),
            **({} if self.forecast is None else {"forecast": self.forecast}),
            "warnings": self.warnings,
        }

    def concepts(self) -> list[dict[str, Any]]:
        """The content of concepts.json: visits of train per concept."""
        return [
            {
                "id": i,
                "name": name,
                "num_given": int(self.given[i]),
                "num_before": int(self.before[i]),
                "num_after": int(self.after[i]),
            }
            for i, name in enumerate(self.names)
        ]


def write_sidecars(folder: Folder, stats: ShardStats) -> None:
    """Write concepts.json, the dataset card and, last, stats.json."""
    content = stats.to_json()
    folder.write_bytes(CONCEPTS_NAME, _json(stats.concepts()))
    folder.write_bytes(CARD_NAME, dataset_card(content).encode())
    folder.write_bytes(STATS_NAME, _json(content))


def dataset_card(stats: Mapping[str, Any]) -> str:
    """A README.md whose header lets `datasets.load_dataset(folder)` find the splits."""
    filled = [split for split in SPLITS if stats["splits"][split]["num_rows"]]
    files = "".join(f"  - split: {s}\n    path: {s}/*.parquet\n" for s in filled)
    table = "\n".join(
        f"| {s} | {stats['splits'][s]['num_rows']:,} | {stats['splits'][s]['num_captions']:,} |"
        for s in SPLITS
    )
    visits = stats["train_visits"]
    return f"""---
configs:
- config_name: default
  data_files:
{files}task_categories:
- text-to-video
- video-text-to-text
tags:
- video-text
- mama-augment
---

# Balanced, captioned video clips

Made by `mama-augment balance`. One row per clip: `split`, `clip_id`, `frames` (JPEG key frames in
order), `frame_seconds`, and `captions`, a list of `text`, `source`, `trusted`, `concept_ids` and
`keep_probability`. `concepts.json` names the concepts and counts their visits per epoch before and
after balancing; `stats.json` has every number of this page.

| split | clips | captions |
|---|---:|---:|
{table}

Effective number of concepts among training visits, exp(entropy):
{visits["before"]["effective_number"]:.2f} before balancing and
{visits["after"]["effective_number"]:.2f} after, of {visits["after"]["num_concepts"]}.

```python
from datasets import load_dataset

dataset = load_dataset("path/to/this/folder")
```
"""


def _json(content: Any) -> bytes:
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode()
