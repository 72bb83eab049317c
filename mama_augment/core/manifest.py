"""The header of a step directory: what was asked for, of which input, in which units."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mama_augment.core import schema


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The header of a step directory. `units` maps each unit to its number of items, in order.

    digests: 12 hex digits of what each unit is made from; a unit whose record names another one is
        done again, with what can be kept of it. Empty where the input cannot change.
    grows: further units may follow when the input has grown; each growth is a generation.
    generations: for each of them, its number of units and, where the step keeps it, the file with
        its part of the input.
    sources: the directories that the step reads: where they lie, and which they are.
    left_out: input rows that make no item, by reason (`caption`: clips that get no caption).
    """

    step: str
    config: Mapping[str, Any]
    input_fingerprint: str
    units: Mapping[str, int]
    versions: Mapping[str, str]
    digests: Mapping[str, str] = field(default_factory=dict)
    grows: bool = False
    generations: Sequence[Mapping[str, Any]] = ()
    sources: Sequence[Mapping[str, str]] = ()
    schema_version: int = schema.SCHEMA_VERSION
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def config_hash(self) -> str:
        return fingerprint(self.config)

    def grown_from(self, existing: Manifest) -> bool:
        """Whether it says more than the one that is there, or other things of the same units."""
        return self.grows and self._extent() != existing._extent()

    def _extent(self) -> str:
        lists = (self.units.items(), self.digests.items(), self.generations, self.sources)
        return json.dumps([*map(list, lists), dict(self.left_out)])

    def to_json(self) -> bytes:
        # Not `asdict`, which copies: a large directory has a million units.
        content = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        for name in ("digests", "grows", "generations", "sources", "left_out"):
            if not content[name]:
                del content[name]
        content["config_hash"] = self.config_hash
        return json.dumps(content, indent=1, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, content: bytes) -> Manifest:
        fields = json.loads(content)
        fields.pop("config_hash")
        return cls(**fields)


def fingerprint(content: Any) -> str:
    """First 16 hex digits of the sha256 of canonical JSON."""
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def versions(*packages: str) -> dict[str, str]:
    """Installed versions, by package, for a manifest."""
    from importlib.metadata import version

    from mama_augment import __version__

    return {"mama_augment": __version__, **{name: version(name) for name in packages}}
