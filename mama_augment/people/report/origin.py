"""Do these directories belong together? Each step remembers what its input held."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mama_augment.core.errors import InputError
from mama_augment.core.manifest import fingerprint
from mama_augment.core.schema import is_generated
from mama_augment.core.store.step_dir import StepDir

MAX_ORDERED = 6
"""Captions directories whose every order is tried: `balance` remembers the order it was given."""


def check_origin(
    clips_dir: StepDir,
    captions_dirs: Sequence[StepDir],
    shards_dir: StepDir,
    stats: Mapping[str, Any],
) -> None:
    """The shards were made from exactly these clips and captions, as they are now.

    Raises:
        InputError: they were not; says what does not fit as far as the files tell.
    """
    clips = clips_dir.input_fingerprint()
    captions = [d.input_fingerprint() for d in captions_dirs]
    orders = itertools.permutations(captions) if len(captions) <= MAX_ORDERED else [captions]
    made_from = shards_dir.manifest.input_fingerprint
    if any(fingerprint([clips, *order]) == made_from for order in orders):
        return
    found = list(_misfits(clips_dir, clips, captions_dirs, stats))
    raise InputError(
        f"{shards_dir.folder.uri!r} was not made from the clips and captions given: "
        f"{'; '.join(found) or 'one of them is another, is left out, or has changed since'}. "
        "Give the directories that `mama-augment balance` read, or run it again on these"
    )


def _misfits(
    clips_dir: StepDir,
    clips: str,
    captions_dirs: Sequence[StepDir],
    stats: Mapping[str, Any],
) -> Iterator[str]:
    for step_dir in (clips_dir, *captions_dirs):
        if pending := step_dir.units_to_do():
            yield f"{step_dir.folder.uri!r} has {len(pending)} pending units"
    for step_dir in captions_dirs:
        if step_dir.manifest.input_fingerprint != clips:
            yield f"{step_dir.folder.uri!r} captions other clips than {clips_dir.folder.uri!r}"
    generated = [source for source in stats["sources"] if is_generated(source)]
    if generated and not captions_dirs:
        yield f"it holds captions ({', '.join(generated)}), and no captions are given"
    if captions_dirs and not generated:
        yield "it holds no generated captions, and captions are given"
