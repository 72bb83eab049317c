"""What a directory's manifest says of it, and whether it is one that a step may continue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mama_augment.core import schema
from mama_augment.core.errors import DamagedError, InputError
from mama_augment.core.manifest import Manifest, fingerprint
from mama_augment.core.store.layout import MANIFEST_NAME

WAY_OUT = "Give another --out, or --overwrite to discard what is there"


def read_manifest(content: bytes, uri: str) -> Manifest:
    """The manifest of the directory `uri`.

    Raises:
        InputError: it is damaged, or of another version.
    """
    try:
        manifest = Manifest.from_json(content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedError(
            f"{uri!r}: its {MANIFEST_NAME} is damaged ({error!r}). Restore the file, or redo "
            "the step in a new directory"
        ) from error
    if manifest.schema_version != schema.SCHEMA_VERSION:
        raise InputError(
            f"{uri!r} has schema version {manifest.schema_version}; this program reads "
            f"{schema.SCHEMA_VERSION}. Redo the step with `--overwrite`"
        )
    return manifest


def check_ours(content: bytes, uri: str) -> None:
    """Refuse to overwrite a directory whose manifest is of something else.

    Raises:
        InputError: it is.
    """
    if b'"config_hash"' not in content and b'"step"' not in content:
        raise InputError(
            f"{uri!r} is not a step directory: its {MANIFEST_NAME} is of something else; give a "
            "new --out directory"
        )


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
    """Refuse a directory of another step or config, or of an input that did not merely grow.

    Where the step's input may grow (`Manifest.grows`), the units that are there come first in the
    new manifest too, and others may follow.
    """
    check_config(existing, new.step, new.config, uri)
    if new.grows:
        same = list(new.units)[: len(existing.units)] == list(existing.units) and (
            list(new.generations)[: len(existing.generations)] == list(existing.generations)
        )
    else:
        same = (existing.input_fingerprint, dict(existing.units)) == (
            new.input_fingerprint,
            dict(new.units),
        )
    if not same:
        raise InputError(f"{uri!r} was made from another input than the one given. {WAY_OUT}")
