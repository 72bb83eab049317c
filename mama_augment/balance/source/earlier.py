"""Earlier shards of the same corpus, whose splits are kept, and what has changed since."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from mama_augment.core.draws import draw_bits
from mama_augment.core.errors import InputError
from mama_augment.core.schema import SPLITS
from mama_augment.core.store.files import Folder
from mama_augment.core.store.step_dir import StepDir

NONE = -1
Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Earlier:
    """An output of `balance`: which clips it has in which split. Memory: 9 bytes per row."""

    step_dir: StepDir

    @classmethod
    def open(cls, uri: str, out: str) -> Earlier:
        """
        Raises:
            InputError: `uri` is not a finished output of `balance`, or is the new one, `out`.
        """
        if Folder(uri).absolute == Folder(out).absolute:
            raise InputError(
                f"--splits-from and --out are both {uri!r}: what is made anew cannot be compared "
                "with itself. Give another --out"
            )
        step_dir = StepDir.open(uri, step="balance")
        step_dir.check_finished()
        return cls(step_dir)

    @property
    def uri(self) -> str:
        return self.step_dir.folder.uri

    def splits_of(self, clip_ids: Sequence[str]) -> npt.NDArray[np.int8]:
        """Index into `SPLITS` of each clip, `NONE` for one that is not there."""
        keys, splits = self._rows
        wanted = np.array([clip_key(clip_id) for clip_id in clip_ids], np.uint64)
        at = places(keys, wanted)
        return np.where(at < 0, np.int8(NONE), splits[at] if len(splits) else np.int8(NONE))

    @cached_property
    def num_rows(self) -> Mapping[str, int]:
        """By split."""
        return self._sums("num_rows")

    @cached_property
    def num_captions(self) -> Mapping[str, int]:
        """By split."""
        return self._sums("num_ok")

    def _sums(self, name: str) -> Mapping[str, int]:
        found = Counter(dict.fromkeys(SPLITS, 0))
        for unit_id, record in self.step_dir.records().items():
            if record.data is not None:
                found[unit_id.rpartition("-")[0]] += getattr(record, name)
        return found

    @cached_property
    def _rows(self) -> tuple[Keys, npt.NDArray[np.int8]]:
        """Keys of all clips, ascending, and their splits."""
        keys: list[Keys] = [np.array([], np.uint64)]
        splits: list[npt.NDArray[np.int8]] = [np.array([], np.int8)]
        for table in self.step_dir.tables(["clip_id", "split"]):
            keys.append(np.array([clip_key(i) for i in table["clip_id"].to_pylist()], np.uint64))
            splits.append(np.array([SPLITS.index(s) for s in table["split"].to_pylist()], np.int8))
        all_keys = np.concatenate(keys)
        order = np.argsort(all_keys, kind="stable")
        return all_keys[order], np.concatenate(splits)[order]


@dataclass(kw_only=True)
class Changes:
    """What new shards have of earlier ones; clips are counted of train."""

    earlier: Earlier
    num_kept: int = 0
    num_new: int = 0
    _train: int = field(default=SPLITS.index("train"), init=False)

    def count(self, clip_ids: Sequence[str]) -> None:
        """Clips that are in the new train split."""
        num_kept = int(np.count_nonzero(self.earlier.splits_of(clip_ids) == self._train))
        self.num_kept += num_kept
        self.num_new += len(clip_ids) - num_kept

    def to_json(self, rows: Mapping[str, int], captions: Mapping[str, int]) -> dict[str, Any]:
        """rows, captions: of the new shards, by split."""
        before = self.earlier
        return {
            "train_clips": {
                "kept": self.num_kept,
                "new": self.num_new,
                "gone": before.num_rows["train"] - self.num_kept,
            },
            "splits": {
                split: {
                    "num_rows": {"before": before.num_rows[split], "now": rows[split]},
                    "num_captions": {"before": before.num_captions[split], "now": captions[split]},
                }
                for split in SPLITS
            },
        }


def clip_key(clip_id: str) -> int:
    """64 bits in place of a clip's id."""
    return draw_bits(0, "clip", clip_id)


def places(keys: Keys, wanted: Keys) -> npt.NDArray[np.int64]:
    """Where each wanted key is among ascending ones; -1: nowhere."""
    if not len(keys):
        return np.full(len(wanted), -1, np.int64)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, at, -1)
