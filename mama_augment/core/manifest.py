"""The header of a step directory: what was asked for, of which input, in which units."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mama_augment.core import schema


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The header of a step directory. `units` maps each unit to its number of items, in order.

    left_out: input rows that make no item, by reason (`caption`: clips that get no caption).
    """

    step: str
    config: Mapping[str, Any]
    input_fingerprint: str
    units: Mapping[str, int]
    versions: Mapping[str, str]
    schema_version: int = schema.SCHEMA_VERSION
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def config_hash(self) -> str:
        return fingerprint(self.config)

    def to_json(self) -> bytes:
        content = {**dataclasses.asdict(self), "config_hash": self.config_hash}
        if not self.left_out:
            del content["left_out"]
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
