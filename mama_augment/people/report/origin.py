"""Do these directories belong together? Each step remembers what its input held."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mama_augment.balance.source.inputs import Inputs, source_fingerprint
from mama_augment.core.errors import InputError
from mama_augment.core.schema import is_generated
from mama_augment.core.store.several import StepDirs
from mama_augment.core.store.step_dir import StepDir

MAX_ORDERED = 6
"""Directories whose every order is tried: a step remembers the order that it was given."""


def check_origin(inputs: Inputs, shards_dir: StepDir, stats: Mapping[str, Any]) -> None:
    """The shards were made from exactly these clips and captions, as they are now.

    Raises:
        InputError: they were not; says what does not fit as far as the files tell.
    """
    clips = [step_dir.input_fingerprint() for step_dir in inputs.clips.dirs]
    captions = [step_dir.input_fingerprint() for step_dir in inputs.captions]
    orders = itertools.permutations(captions) if len(captions) <= MAX_ORDERED else [captions]
    made_from = shards_dir.manifest.input_fingerprint
    if any(source_fingerprint(clips, order) == made_from for order in orders):
        return
    found = list(_misfits(inputs, stats))
    raise InputError(
        f"{shards_dir.folder.uri!r} was not made from the clips and captions given: "
        f"{'; '.join(found) or 'one of them is another, is left out, or has changed since'}. "
        "Give the directories that `mama-augment balance` read, or run it again on these"
    )


def _misfits(inputs: Inputs, stats: Mapping[str, Any]) -> Iterator[str]:
    for step_dir in inputs.dirs:
        if pending := step_dir.units_to_do():
            yield f"{step_dir.folder.uri!r} has {len(pending)} pending units"
    for step_dir in inputs.captions:
        if not _captions_some(step_dir, inputs.clips):
            yield f"{step_dir.folder.uri!r} captions other clips than {inputs.clips.uri!r}"
    generated = [source for source in stats["sources"] if is_generated(source)]
    if generated and not inputs.captions:
        yield f"it holds captions ({', '.join(generated)}), and no captions are given"
    if inputs.captions and not generated:
        yield "it holds no generated captions, and captions are given"


def _captions_some(captions_dir: StepDir, clips: StepDirs) -> bool:
    """Whether captions were made from one of the clips directories, or from several of them."""
    made_from = captions_dir.manifest.input_fingerprint
    return any(StepDirs(some).input_fingerprint() == made_from for some in _choices(clips.dirs))


def _choices(dirs: Sequence[StepDir]) -> Iterator[tuple[StepDir, ...]]:
    """One, then several in any order; of very many only all of them as they are given."""
    if len(dirs) > MAX_ORDERED:
        yield from ((step_dir,) for step_dir in dirs)
        yield tuple(dirs)
        return
    for number in range(1, len(dirs) + 1):
        yield from itertools.permutations(dirs, number)
