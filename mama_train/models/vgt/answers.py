"""The answers that an open question may have, as texts; encoded anew or kept.

Shapes: V answers, L tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mama_augment.core.errors import InputError

Encode = Callable[[Tensor, Tensor], Tensor]


class AnswerTexts(nn.Module):
    """Holds token ids and, when kept, vectors. They are buffers, so they move with the model; they
    are not saved with it, because a task gives them."""

    ids_VL: Tensor
    mask_VL: Tensor
    kept_VD: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("ids_VL", torch.zeros(0, 1, dtype=torch.int64), persistent=False)
        self.register_buffer("mask_VL", torch.zeros(0, 1, dtype=torch.int64), persistent=False)
        self.register_buffer("kept_VD", torch.zeros(0, 0), persistent=False)

    def set(self, ids_VL: Tensor, mask_VL: Tensor) -> None:
        """Other answers; nothing is kept of the last ones."""
        self.ids_VL = ids_VL.to(self.ids_VL.device)
        self.mask_VL = mask_VL.to(self.mask_VL.device)
        self.kept_VD = self.kept_VD.new_zeros(0, 0)

    def keep(self, encode: Encode) -> None:
        """Use these vectors until the next `keep` or `set`."""
        self.kept_VD = encode(self.ids_VL, self.mask_VL).detach()

    def forward(self, encode: Encode) -> Tensor:
        """[V,D], with a gradient unless kept.

        Raises:
            InputError: there are no answers.
        """
        if not len(self.ids_VL):
            raise InputError("an open question needs answers to choose from: give set_answers")
        return self.kept_VD if len(self.kept_VD) else encode(self.ids_VL, self.mask_VL)
