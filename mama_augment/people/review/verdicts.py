"""What a person has judged: a step directory in which each text is a unit of its own.

A verdict is committed as any unit is, so that it is on the disk, whole, when it is answered; a text
that was judged again is another attempt, and one whose verdict was undone is pending again. So
`status` accounts for a review too: in = accepted and edited + rejected + pending. Which text a unit
is stands in the generations' files, of which browsing adds further ones.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mama_augment.core.errors import InputError
from mama_augment.core.manifest import Manifest, versions
from mama_augment.core.reasons import reasons_of
from mama_augment.core.schema import REVIEWS, VERDICTS
from mama_augment.core.store.layout import INPUT_FOLDER, parquet_bytes
from mama_augment.core.store.step_dir import StepDir

STEP = "review"
ASKED = pa.schema(
    [
        *(
            REVIEWS.field(name)
            for name in ("clip_id", "video_uri", "source", "caption_index", "raw_text")
        ),
        REVIEWS.field("split"),
        REVIEWS.field("concept"),
    ]
)
"""What is known of a text before it is judged."""
REASONS = tuple(reason.code for reason in reasons_of(STEP))
MOST_CHARACTERS = 10_000

Key = tuple[str, str]
"""(clip_id, text): the same text of a clip, whoever wrote it, is judged once."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A person's word on a text."""

    verdict: str
    text: str | None = None
    """What is to stand there, where it was edited."""
    reason: str | None = None
    """Why it was rejected."""
    seconds: float | None = None

    def __post_init__(self) -> None:
        """
        Raises:
            InputError: it does not say what it must.
        """
        if self.verdict not in VERDICTS:
            raise InputError(f"verdict is {self.verdict!r}; allowed: {', '.join(VERDICTS)}")
        if self.verdict == "rejected" and self.reason not in REASONS:
            raise InputError(f"reason is {self.reason!r}; allowed: {', '.join(REASONS)}")
        if self.verdict == "edited" and not (self.text or "").strip():
            raise InputError("an edited text is blank; write one, or reject the text")
        if len(self.text or "") > MOST_CHARACTERS:
            raise InputError(f"the text is longer than {MOST_CHARACTERS:,} characters")


class Verdicts:
    """The directory while it is open; not for several threads at once."""

    def __init__(self, step_dir: StepDir, asked: Sequence[Mapping[str, Any]]) -> None:
        self._dir = step_dir
        self.asked = list(asked)
        """By unit, in order."""
        self._units = list(step_dir.manifest.units)
        self._of_key = {key_of(row): number for number, row in enumerate(self.asked)}
        self.found: dict[int, dict[str, Any]] = {}
        """The verdicts that stand, by the text's number in `asked`."""
        for unit_id, record in step_dir.records().items():
            table = step_dir.read_data(record)
            if table is not None:
                self.found[self._units.index(unit_id)] = table.to_pylist()[0]

    @classmethod
    def open(
        cls,
        out: str,
        asked: Sequence[Mapping[str, Any]],
        config: Mapping[str, Any],
        sources: Sequence[Mapping[str, str]],
    ) -> Verdicts:
        """Begin a review of these texts."""
        table = pa.Table.from_pylist(list(asked), ASKED)
        name, content = _file_of(0, table)
        manifest = Manifest(
            step=STEP,
            config=config,
            input_fingerprint=name,
            units={f"{n:06d}": 1 for n in range(len(asked))},
            versions=versions("pyarrow"),
            grows=True,
            generations=[{"num_units": len(asked), "clips": name}],
            sources=list(sources),
        )
        step_dir = StepDir.create_or_resume(out, manifest, files={name: content})
        return cls(step_dir, table.to_pylist())

    @classmethod
    def resume(cls, step_dir: StepDir) -> Verdicts:
        """Go on with a review that was begun."""
        asked: list[dict[str, Any]] = []
        for generation in step_dir.manifest.generations:
            content = step_dir.folder.read_bytes(generation["clips"])
            asked += pq.read_table(pa.BufferReader(content)).to_pylist()
        step_dir.remove_leftovers()
        return cls(step_dir, asked)

    def number_of(self, text: Mapping[str, Any]) -> int | None:
        """Which of the texts asked about this is, if any."""
        return self._of_key.get(key_of(text))

    def ask(self, text: Mapping[str, Any]) -> int:
        """Take in a text that was found by browsing, and return its number."""
        known = self.number_of(text)
        if known is not None:
            return known
        row = {name: text.get(name) for name in ASKED.names}
        before = self._dir.manifest
        name, content = _file_of(len(before.generations), pa.Table.from_pylist([row], ASKED))
        unit_id = f"{len(self._units):06d}"
        self._dir.folder.write_bytes(name, content)
        manifest = dataclasses.replace(
            before,
            units={**before.units, unit_id: 1},
            generations=[*before.generations, {"num_units": 1, "clips": name}],
        )
        self._dir = StepDir.create_or_resume(self._dir.folder.uri, manifest)
        self._units.append(unit_id)
        self.asked.append(row)
        self._of_key[key_of(row)] = len(self.asked) - 1
        return len(self.asked) - 1

    def judge(self, number: int, verdict: Verdict) -> dict[str, Any]:
        """Commit a verdict; it is on the disk when this returns."""
        asked = self.asked[number]
        text = {"accepted": asked["raw_text"], "edited": (verdict.text or "").strip()}
        kind = verdict.verdict
        if kind == "edited" and text["edited"] == asked["raw_text"]:
            kind = "accepted"
        row = {
            **asked,
            "text": text.get(kind),
            "status": "rejected" if kind == "rejected" else "ok",
            "reason": verdict.reason if kind == "rejected" else None,
            "verdict": kind,
            "seconds": verdict.seconds,
            "reviewed_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        }
        self._commit(number, row)
        return row

    def _commit(self, number: int, row: dict[str, Any]) -> None:
        self._dir.reread().records()  # so that another attempt is known to be one
        self._dir.commit(self._units[number], pa.Table.from_pylist([row], REVIEWS))
        self.found[number] = row

    def undo(self) -> int | None:
        """Take the latest verdict back and return the number of its text; None: there is none."""
        if not self.found:
            return None
        number = max(self.found, key=lambda n: (self.found[n]["reviewed_at"], n))
        self._dir.retract([self._units[number]])
        del self.found[number]
        return number


def key_of(text: Mapping[str, Any]) -> Key:
    """Of a text asked about, or a verdict."""
    return text["clip_id"], text["raw_text"]


def _file_of(generation: int, table: pa.Table) -> tuple[str, pa.Buffer]:
    content = parquet_bytes(table)
    digest = hashlib.sha256(memoryview(content)).hexdigest()[:12]
    return f"{INPUT_FOLDER}/clips-{generation:03d}-{digest}.parquet", content
