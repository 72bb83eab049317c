"""What a step makes of the units of others, one of its own for each, and how it grows with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mama_augment.core.errors import InputError
from mama_augment.core.manifest import Manifest, fingerprint, versions
from mama_augment.core.store.records import NOTHING, UnitRecord
from mama_augment.core.store.several import StepDirs
from mama_augment.core.store.step_dir import StepDir


def open_clips(clips: str | Sequence[str], there: StepDir | None, step: str) -> StepDirs:
    """Clips directories, those of an earlier run first.

    Raises:
        InputError: one is unfinished or not what it should be; or there is no clip.
    """
    before = there.manifest if there is not None and there.step == step else None
    dirs = StepDirs.open(clips, step="keyframes", known=before.sources if before else ())
    for step_dir in dirs.dirs:
        step_dir.check_finished()
    if not any(record.num_rows for record in dirs.records().values()):
        raise InputError(f"{dirs.uri!r} holds no clips; run `mama-augment keyframes` first")
    return dirs


def manifest_of(
    step: str,
    config: Mapping[str, Any],
    records: Mapping[str, UnitRecord],
    sizes: Mapping[str, int],
    sources: Sequence[Mapping[str, str]],
    there: StepDir | None,
) -> Manifest:
    """A manifest that grows. sizes: items of each unit; records: what each is made from."""
    before = there.manifest if there is not None and there.step == step else None
    known = before.units if before is not None else {}
    units = {**{u: sizes.get(u, n) for u, n in known.items()}, **sizes}
    digests = dict(before.digests) if before is not None else {}
    digests |= {unit_id: record.data_digest or NOTHING for unit_id, record in records.items()}
    generations = list(before.generations) if before is not None else []
    if num_new := len(units) - len(known):
        generations.append({"num_units": num_new})
    return Manifest(
        step=step,
        config=config,
        input_fingerprint=fingerprint({u: digests[u] for u in units}),
        units=units,
        versions=versions("torch", "transformers"),
        digests={unit_id: digests[unit_id] for unit_id in units},
        grows=True,
        generations=generations,
        sources=list(sources),
    )
