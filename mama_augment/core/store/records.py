"""The commit record of a unit, whose name says all that a listing of the directory is asked for.

`units/<block>/<unit>.<attempt>.<input>.<counts>.<data>.<rejects>.<reasons>.json`, where

    block    the number at the end of the unit's name, without its last three digits
    attempt  0, and one more each time that the unit is done again; the highest one counts
    input    12 hex digits of what the unit was made from, or 0
    counts   ok-rejected-failed-held_out
    data     rows-bytes-sha256[-subfolder] of the data file, or 0; rejects alike
    reasons  reason-r2-reason-f1: how many were rejected or failed why; 0: none; etc: too many

So opening, resuming and accounting need the listing alone. The file itself holds the same as JSON,
with whole hashes, for `--deep` and for people.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

RECORDS_FOLDER = "units"
SUFFIX = ".json"
UNITS_PER_FOLDER = 1_000
SHA_DIGITS = 12
"""Of a content's hash, in names."""
NOTHING = "0"
NOT_NAMED = "etc"
"""Reasons that do not fit: the record's content has them."""
MOST_NAME_BYTES = 210
"""File systems end names at 255 bytes; that of a temporary file is 38 longer."""
VERDICTS = {"r": "rejected", "f": "failed"}

Reasons = Mapping[tuple[str, str], int]
"""(verdict, reason) to number of items."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """A file that a unit has published; `sha256` has 12 digits where it was read from a name."""

    name: str
    num_rows: int
    num_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitRecord:
    """What became of one unit. Names are relative to the step directory."""

    unit_id: str
    attempt: int = 0
    input_digest: str = NOTHING
    num_ok: int
    num_rejected: int
    num_failed: int
    num_held_out: int = 0
    """Rows of given meta, val and test splits (`ledger.StepTable.num_held_out`)."""
    data: Published | None = None
    rejects: Published | None = None
    reasons: Reasons | None = field(default_factory=dict)
    """Why items left; None: the name has no room for it, but the content does."""

    @property
    def num_in(self) -> int:
        return self.num_ok + self.num_rejected + self.num_failed

    @property
    def data_file(self) -> str | None:
        return self.data.name if self.data else None

    @property
    def num_rows(self) -> int:
        """Of its data file."""
        return self.data.num_rows if self.data else 0

    @property
    def data_digest(self) -> str:
        """12 hex digits of its data; empty where it has none."""
        return self.data.sha256[:SHA_DIGITS] if self.data else ""

    def left_all_for(self, reason: str) -> bool:
        """Whether every item left for this one reason."""
        return not self.num_ok and {code for _, code in self.reasons or ()} == {reason}

    def files(self) -> list[Published]:
        """What this unit published beside its record."""
        return [file for file in (self.data, self.rejects) if file is not None]

    @property
    def name(self) -> str:
        """Of the record itself."""
        counts = (self.num_ok, self.num_rejected, self.num_failed, self.num_held_out)
        parts = [
            self.unit_id,
            str(self.attempt),
            self.input_digest,
            "-".join(map(str, counts)),
            _file_text(self.data),
            _file_text(self.rejects),
        ]
        folder = records_folder(self.unit_id)
        reasons = _reasons_text(self.reasons)
        name = f"{folder}/{'.'.join([*parts, reasons])}{SUFFIX}"
        if len(name.encode()) - len(folder) > MOST_NAME_BYTES:
            name = f"{folder}/{'.'.join([*parts, NOT_NAMED])}{SUFFIX}"
        return name

    def to_json(self) -> bytes:
        content = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        for key in ("data", "rejects"):
            content[key] = content[key] and dataclasses.asdict(content[key])
        content["reasons"] = [
            {"verdict": verdict, "reason": reason, "items": number}
            for (verdict, reason), number in sorted((self.reasons or {}).items())
        ]
        return json.dumps(content, indent=1, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, content: bytes) -> UnitRecord:
        """Read one back, with whole hashes.

        Raises:
            ValueError, KeyError, TypeError: it is damaged.
        """
        fields: dict[str, Any] = json.loads(content)
        for key in ("data", "rejects"):
            fields[key] = Published(**fields[key]) if fields[key] else None
            _check_name(fields[key], fields["unit_id"])
        fields["reasons"] = {(r["verdict"], r["reason"]): r["items"] for r in fields["reasons"]}
        return cls(**fields)

    @classmethod
    def from_name(cls, name: str) -> UnitRecord | None:
        """What a record's name says; None where it is the name of something else."""
        parts = name.rpartition("/")[2].removesuffix(SUFFIX).split(".")
        if len(parts) != 7 or not name.endswith(SUFFIX):
            return None
        unit_id, attempt, digest, counts, data, rejects, reasons = parts
        try:
            num_ok, num_rejected, num_failed, num_held_out = map(int, counts.split("-"))
            return cls(
                unit_id=unit_id,
                attempt=int(attempt),
                input_digest=digest,
                num_ok=num_ok,
                num_rejected=num_rejected,
                num_failed=num_failed,
                num_held_out=num_held_out,
                data=_file_of(data, unit_id),
                rejects=_file_of(rejects, unit_id),
                reasons=_reasons_of(reasons),
            )
        except ValueError:
            return None


def records_folder(unit_id: str) -> str:
    """The folder of a unit's record: a thousand units in each."""
    digits = unit_id[len(unit_id.rstrip("0123456789")) :]
    return f"{RECORDS_FOLDER}/{int(digits or 0) // UNITS_PER_FOLDER:03d}"


def is_record(name: str) -> bool:
    """Whether a relative name lies where records do."""
    return name.startswith(f"{RECORDS_FOLDER}/") and name.endswith(SUFFIX)


def published_name(unit_id: str, sha256: str, subfolder: str = "") -> str:
    """The name of a unit's file: made of its content, so that a rerun that makes the same bytes
    makes the same file, and two writers can never tear each other's."""
    below = f"{subfolder}/" if subfolder else ""
    return f"{below}{unit_id}-{sha256[:SHA_DIGITS]}.parquet"


def unit_of(name: str) -> str:
    """The unit that a data file, a record or a temporary file of one of these belongs to."""
    stem = name.rpartition("/")[2].removeprefix(".").partition(".")[0]
    return stem if name.startswith(f"{RECORDS_FOLDER}/") else stem.rpartition("-")[0]


def _check_name(file: Published | None, unit_id: str) -> None:
    """Raises ValueError for a name that no unit publishes under: outside the directory, say."""
    if file is None:
        return
    subfolder = file.name.rpartition("/")[0]
    is_plain = not subfolder or subfolder.isalnum()
    if not is_plain or file.name != published_name(unit_id, file.sha256, subfolder):
        raise ValueError(f"it names {file.name!r}")


def _file_text(file: Published | None) -> str:
    if file is None:
        return NOTHING
    subfolder = file.name.rpartition("/")[0]
    text = f"{file.num_rows}-{file.num_bytes}-{file.sha256[:SHA_DIGITS]}"
    return f"{text}-{subfolder}" if subfolder else text


def _file_of(text: str, unit_id: str) -> Published | None:
    if text == NOTHING:
        return None
    num_rows, num_bytes, sha256, *subfolder = text.split("-", 3)
    name = published_name(unit_id, sha256, *subfolder)
    return Published(name=name, num_rows=int(num_rows), num_bytes=int(num_bytes), sha256=sha256)


def _reasons_text(reasons: Reasons | None) -> str:
    if reasons is None:
        return NOT_NAMED
    words = [
        f"{reason}-{verdict[0]}{number}" for (verdict, reason), number in sorted(reasons.items())
    ]
    return "-".join(words) or NOTHING


def _reasons_of(text: str) -> Reasons | None:
    if text == NOT_NAMED:
        return None
    if text == NOTHING:
        return {}
    words = text.split("-")
    pairs = zip(words[::2], words[1::2], strict=True)
    return {(VERDICTS[number[:1]], reason): int(number[1:]) for reason, number in pairs}
