"""What a person changes of found concepts: `concepts.toml` strikes, merges and renames.

    strike = ["thing"]
    [merge]
    couch = ["sofa", "armchair"]
    [rename]
    "man, ball, green" = "football"

Names are those that `mama-augment concepts` prints; merging comes before renaming.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mama_augment.concepts.base import MODEL_NAME, FittedAssigner
from mama_augment.concepts.language.texts import TextBatch
from mama_augment.core.errors import InputError
from mama_augment.core.store.files import Folder, folder_and_name

KEY = "edits"


@dataclass(frozen=True, kw_only=True)
class Edits:
    """By names of concepts."""

    strike: tuple[str, ...] = ()
    merge: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Into each, others."""
    rename: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Edits:
        merge = {name: tuple(others) for name, others in content.get("merge", {}).items()}
        return cls(
            strike=tuple(content.get("strike", ())),
            merge=merge,
            rename=dict(content.get("rename", {})),
        )


def read_edits(uri: str) -> Edits:
    """
    Raises:
        InputError: there is no such file, it is not TOML, or it holds something else.
    """
    source, name = folder_and_name(uri)
    if source.size_bytes(name) is None:
        raise InputError(
            f"--concept-edits {uri!r}: no such file; `mama-augment concepts` makes one"
        )
    try:
        content = tomllib.loads(source.read_bytes(name).decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"--concept-edits {uri!r} is not TOML: {error}") from error
    unknown = sorted(set(content) - {"strike", "merge", "rename"})
    fits = (
        _is_names(content.get("strike", []))
        and isinstance(merge := content.get("merge", {}), dict)
        and all(_is_names(others) for others in merge.values())
        and isinstance(rename := content.get("rename", {}), dict)
        and _is_names(list(rename.values()))
    )
    if unknown or not fits:
        raise InputError(
            f"--concept-edits {uri!r}: {', '.join(unknown) or 'a value'} is not understood; "
            'allowed: strike = ["name", …], [merge] with name = ["other", …], and [rename] with '
            '"name" = "new name"'
        )
    return Edits.from_json(content)


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


@dataclass(frozen=True)
class Edited:
    """An assigner whose concepts are struck, merged and renamed; its ids are counted anew."""

    inner: FittedAssigner
    edits: Edits
    names: tuple[str, ...]
    new_id: tuple[int | None, ...]
    """[concepts of the inner one]; None: struck."""

    def assign(self, batch: TextBatch) -> list[list[int]]:
        new_id = self.new_id
        return [
            sorted({new for i in ids if (new := new_id[i]) is not None})
            for ids in self.inner.assign(batch)
        ]

    def save(self, folder: Folder) -> None:
        self.inner.save(folder)
        content = json.loads(folder.read_bytes(MODEL_NAME))
        content[KEY] = self.edits.to_json()
        folder.write_bytes(MODEL_NAME, json.dumps(content, indent=1, ensure_ascii=False).encode())


def edited(assigner: FittedAssigner, edits: Edits) -> Edited:
    """Strike, merge and rename an assigner's concepts.

    Raises:
        InputError: a name is none of the assigner's concepts, or all of them are struck.
    """
    old = list(assigner.names)
    named = [*edits.strike, *edits.merge, *(o for m in edits.merge.values() for o in m)]
    _check_names([*named, *edits.rename], old)
    into = {other: name for name, others in edits.merge.items() for other in others}
    ids: dict[str, int] = {}
    new_id: list[int | None] = []
    for name in old:
        name = into.get(name, name)
        if name in edits.strike:
            new_id.append(None)
        else:
            new_id.append(ids.setdefault(edits.rename.get(name, name), len(ids)))
    if not ids:
        raise InputError("--concept-edits strikes every concept; leave some")
    return Edited(assigner, edits, tuple(ids), tuple(new_id))


def _check_names(names: Sequence[str], known: Sequence[str]) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise InputError(
            f"--concept-edits names {', '.join(map(repr, unknown[:5]))}, which "
            f"{'is not a concept' if len(unknown) == 1 else 'are not concepts'} here; "
            "`mama-augment concepts` prints the names"
        )
