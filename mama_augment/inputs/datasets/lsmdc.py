"""LSMDC (Rohrbach et al. 2016), retrieval of movie clips."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from mama_augment.core.errors import InputError
from mama_augment.inputs.datasets.base import TEST, TRAIN, VAL, Item
from mama_augment.inputs.datasets.files import TAB, Annotations

FILES = {
    TRAIN: "LSMDC16_annos_training.csv",
    VAL: "LSMDC16_annos_val.csv",
    TEST: "LSMDC16_challenge_1000_publictect.csv",
}
NUM_FIELDS = 6


class Lsmdc:
    """Separated by tabs, no header, no quotes; ids hold dots, and repeat outside of test."""

    name = "lsmdc"
    help = "LSMDC, retrieval"
    parts: ClassVar[tuple[str, ...]] = ("2016",)
    sizes: ClassVar[Mapping[str, Mapping[str, int]]] = {"2016": {TRAIN: 101079, TEST: 1000}}
    counts = "texts"
    note = "Names of persons are SOMEONE. Videos lie in one folder per movie; all are searched."

    def items(self, files: Annotations, part: str) -> Iterator[Item]:
        for split, name in FILES.items():
            for number, line in enumerate(files.lines_of(name), 1):
                fields = line.split(TAB)
                if len(fields) != NUM_FIELDS:
                    raise InputError(
                        f"{files.folder / name}, line {number}: {len(fields)} fields between tabs; "
                        f"{NUM_FIELDS} are published"
                    )
                yield Item(
                    names=(f"{fields[0]}.avi", fields[0]),
                    clip_id=fields[0],
                    split=split,
                    where=f"{name} line {number}",
                    text=fields[-1].strip(),
                )
