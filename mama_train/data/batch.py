"""One training batch: this rank's rows, and the keys that say which rows belong together."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Questions of this rank's rows (b), each as K texts of S tokens: one, the question (open), or
    one per option (choice).

    ids_bKS, mask_bKS: int64; mask 1 = token. answer_b: int64, the right class or option.
    counts_bK: bool, the options that a row has and that are not the answer once more (the answer
    itself counts); None where all classes do.
    """

    ids_bKS: Tensor
    mask_bKS: Tensor
    answer_b: Tensor
    counts_bK: Tensor | None = None

    def changed(self, change: Callable[[Tensor], Tensor]) -> Asked:
        """The same with every tensor changed."""
        counts = None if self.counts_bK is None else change(self.counts_bK)
        return Asked(
            ids_bKS=change(self.ids_bKS),
            mask_bKS=change(self.mask_bKS),
            answer_b=change(self.answer_b),
            counts_bK=counts,
        )


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows of this rank (b), with keys of all rows of the global batch (B).

    video: uint8 [b,T,H,W,3], or normalised float [b,T,3,H,W]; of features, float [b,T,width].
    input_ids_BS, mask_BS: int64 [b,S]; mask 1 = token.
    clip_key_B, text_key_B: int64 [B] hashes of the clip's video, where shards tell of videos that
        clips share, else of the clip id; and of the text.
    frequency_B: float [B], training captions that share the rarest concept of each sample; NaN
        where there is none.
    agreement_B: float [B], the share of the training captions that agree less with their clip; NaN
        where a caption has no score. None where nobody asked for it.
    aligned_B: bool [B], whether the caption is of its clip, where the shards of a made world say so
        of every caption of the batch; else None.
    clip_ids: the ids of all B rows, for messages.
    asked: the questions of this rank's rows, in question answering.
    """

    video: Tensor
    input_ids_BS: Tensor
    mask_BS: Tensor
    clip_key_B: Tensor
    text_key_B: Tensor
    frequency_B: Tensor
    agreement_B: Tensor | None = None
    aligned_B: Tensor | None = None
    clip_ids: tuple[str, ...] = ()
    asked: Asked | None = None

    def __len__(self) -> int:
        return len(self.input_ids_BS)

    @property
    def num_rows(self) -> int:
        """Rows of the global batch."""
        return len(self.clip_key_B)

    def model_input(self) -> tuple[Tensor, ...]:
        """What `DualEncoder.forward` takes: video, input_ids_BS, mask_BS of this rank, and the ids
        and mask of what is asked."""
        texts = (self.video, self.input_ids_BS, self.mask_BS)
        return texts if self.asked is None else (*texts, self.asked.ids_bKS, self.asked.mask_bKS)

    def chunks(self, num_rows: int) -> Iterator[Batch]:
        """This rank's rows, `num_rows` at a time; the keys stay those of the whole batch. A rank
        without rows has one chunk of none."""
        for start in range(0, max(1, len(self)), max(1, num_rows)):
            rows = slice(start, start + num_rows)
            yield dataclasses.replace(
                self,
                video=self.video[rows],
                input_ids_BS=self.input_ids_BS[rows],
                mask_BS=self.mask_BS[rows],
                asked=self.asked and self.asked.changed(itemgetter(rows)),
            )

    def to(self, device: torch.device) -> Batch:
        """The same batch with its tensors on a device."""
        if device.type == "cpu":
            return self
        return self._with_tensors(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """The same batch in pinned memory, as torch's loader asks for."""
        return self._with_tensors(Tensor.pin_memory)

    def _with_tensors(self, change: Callable[[Tensor], Tensor]) -> Batch:
        tensors: dict[str, Any] = {
            f.name: change(getattr(self, f.name))
            for f in dataclasses.fields(self)
            if isinstance(getattr(self, f.name), Tensor)
        }
        return dataclasses.replace(self, **tensors, asked=self.asked and self.asked.changed(change))


def keys(names: Sequence[str]) -> Tensor:
    """int64 [len(names)]: equal strings and only those (but for 2^-64 chances) get equal keys."""
    digests = b"".join(hashlib.blake2b(n.encode(), digest_size=8).digest() for n in names)
    return torch.from_numpy(np.frombuffer(digests, dtype="<i8").copy())


def same_text(text: str) -> str:
    """The form in which two texts count as identical: letters' case and spacing do not matter."""
    return " ".join(text.lower().split())
