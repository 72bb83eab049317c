"""What a step writes about its own work: the manifest of a directory, the record of a unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mama_augment.core.errors import InputError
from mama_augment.core.manifest import Manifest, fingerprint


@dataclass(frozen=True, kw_only=True)
class UnitRecord:
    """The commit record of one unit; names are relative to the step directory."""

    unit_id: str
    num_in: int
    num_ok: int
    num_rejected: int
    num_failed: int
    data_file: str | None = None
    data_rows: int = 0
    data_bytes: int = 0
    data_sha256: str = ""
    rejects_file: str | None = None
    rejects_rows: int = 0
    rejects_bytes: int = 0
    rejects_sha256: str = ""

    def files(self) -> list[tuple[str, int, str]]:
        """(name, size in bytes, sha256) of each file that this unit published."""
        files = []
        if self.data_file:
            files.append((self.data_file, self.data_bytes, self.data_sha256))
        if self.rejects_file:
            files.append((self.rejects_file, self.rejects_bytes, self.rejects_sha256))
        return files


WAY_OUT = "Give another --out, or --overwrite to discard what is there"


def check_config(existing: Manifest, step: str, config: Mapping[str, Any], uri: str) -> None:
    """Refuse a directory of another step or config."""
    if existing.step != step:
        raise InputError(f"{uri!r} holds the output of `mama-augment {existing.step}`. {WAY_OUT}")
    changed = [
        f"{key} was {existing.config.get(key)!r}, now {config.get(key)!r}"
        for key in sorted({*existing.config, *config})
        if fingerprint(existing.config.get(key)) != fingerprint(config.get(key))
    ]
    if changed:
        raise InputError(f"{uri!r} was made with another config: {'; '.join(changed)}. {WAY_OUT}")


def check_same(existing: Manifest, new: Manifest, uri: str) -> None:
    """Refuse a directory of another step, config or input."""
    check_config(existing, new.step, new.config, uri)
    if (existing.input_fingerprint, dict(existing.units)) != (
        new.input_fingerprint,
        dict(new.units),
    ):
        raise InputError(f"{uri!r} was made from another input than the one given. {WAY_OUT}")
