"""Before the first step: whether the passes of a meta step agree, which its exactness rests on."""

from __future__ import annotations

import torch

from mama_augment.core.errors import InputError
from mama_train.data.batch import Asked, Batch
from mama_train.models.base import DualEncoder
from mama_train.models.tokenizer import TextTokenizer
from mama_train.objective.config import MarginLoss
from mama_train.objective.objective import Objective

APART = 1e-3
"""How far rounding alone may take a coordinate of two unit vectors apart; under autocast:"""
APART_AUTOCAST = 0.1


def check_passes(
    model: DualEncoder,
    tokenizer: TextTokenizer,
    autocast: torch.dtype | None,
    *,
    forward_mode: bool,
) -> None:
    """Encode two made rows twice, and where the model answers, ask it about them: as training does
    and, for a meta step, as its forward-mode pass does; for cached features alone, as training
    does again.

    What is looked at is what the model does, not what modules it has: dropout may be anywhere.

    Raises:
        InputError: from one state of the generators, the two passes do not give the same.
    """
    spec, device = model.frame_spec, model.logit_scale.device
    generator = torch.Generator().manual_seed(0)
    ids, mask = tokenizer.encode(["a", "a b"])
    batch = Batch(
        video=spec.random_clips(2, generator),
        input_ids_BS=ids,
        mask_BS=mask,
        clip_key_B=torch.arange(2),
        text_key_B=torch.arange(2),
        frequency_B=torch.ones(2),
        asked=_asked(model, tokenizer),
    )
    objective = Objective(model, MarginLoss(), autocast=autocast)
    apart = objective.passes_apart(batch.to(device), forward_mode=forward_mode)
    allowed = APART if autocast is None else APART_AUTOCAST
    if not apart <= allowed:
        raise InputError(
            f"two forward passes of the model from one state of torch's generators differ by "
            f"{apart:.2g} (allowed: {allowed:g}), so that the meta step and cached features would "
            "not be exact. It draws random numbers that torch's generators do not make, or other "
            "ones in one pass than in the other (dropout inside fused attention, for one): draw "
            "them by torch's default generators, or give --weights none without rows_per_pass"
        )


def _asked(model: DualEncoder, tokenizer: TextTokenizer) -> Asked | None:
    """A question with two options, or one, of each row."""
    if model.answer_head is None:
        return None
    num = 1 if model.answer_head.config.kind == "qa-open" else 2
    ids, mask = tokenizer.encode(["a", "a b"] * num)
    return Asked(
        ids_bKS=ids.unflatten(0, (2, num)),
        mask_bKS=mask.unflatten(0, (2, num)),
        answer_b=torch.zeros(2, dtype=torch.int64),
    )
