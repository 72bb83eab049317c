"""The batch objective split in two: encoders, per rank and per chunk, and one loss over all rows.

    parameters --encoders--> embeddings (gathered over ranks) --margin loss--> loss_B

In question answering, the encoders' pass also gives ℓ_i^qa, a number per row, which is gathered
with the embeddings, and loss_B is ℓ_i = ℓ_i^qa + β ℓ_i^con; the embeddings are those before the
video meets the question. The meta loss is of ℓ^qa alone: that is what is measured.

Every derivative of training is built from this split, so that chunks (cached features for large
batches), several processes and forward-mode AD all share one code path and stay exact although
the loss couples the batch.

Shapes: B samples of the global batch, D embedding dimensions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd import forward_ad

from mama_train import ranks
from mama_train.data.batch import Batch
from mama_train.models.base import DualEncoder
from mama_train.objective.config import MarginLoss
from mama_train.objective.losses import same_pairs_BB
from mama_train.objective.margins import MarginNow, angles_B, margins_B
from mama_train.objective.passes import (
    Inside,
    Named,
    exact_attention,
    of_pass,
    primal_and_tangent,
    vjp,
)
from mama_train.objective.replay import Draws, buffers_kept, call_with_copies
from mama_train.objective.tape import Tape

SCALE = "logit_scale"


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """A batch after the forward pass: global outputs as leaves, the loss above, the graph below.

    outputs: video_BD, text_BD and, where something is asked, ℓ^qa_B.
    `local` holds this rank's outputs with their graph, or None when only features were kept
    (the encoders are then run again, chunk by chunk, on the way back). `tape` remembers the
    forward pass for a forward-mode one at the same parameters, if that was asked for. `draws`: the
    generators before each chunk.
    """

    batch: Batch
    outputs: tuple[Tensor, ...]
    log_scale: Tensor
    loss_B: Tensor
    local: tuple[Tensor, ...] | None
    draws: list[Draws]
    tape: Tape | None = None

    @property
    def video_BD(self) -> Tensor:
        return self.outputs[0]

    @property
    def text_BD(self) -> Tensor:
        return self.outputs[1]


class Objective:
    """loss_B of a batch and its derivatives in the parameters of one dual encoder."""

    def __init__(
        self,
        model: DualEncoder,
        loss: MarginLoss,
        *,
        chunk: int | None = None,
        autocast: torch.dtype | None = None,
        compile: bool = False,
        contrast: float = 0.0,
    ) -> None:
        """`contrast`: β, where something is asked. `chunk`: rows per encoder call; None encodes a
        batch at once and keeps its graph. `compile`: offer `encode` a compiled pass.

        `margin_now` may be set from step to step; within a step it stays.
        """
        self.model = model
        self.loss = loss
        self.contrast = contrast
        self.chunk = chunk
        self.autocast = autocast
        self.margin_now = MarginNow()
        self._inside = Inside(model)
        self._compiled = torch.compile(model) if compile else None

    def parameters(self) -> Named:
        """The trained parameters by name; frozen ones are constants of the objective."""
        return {n: p for n, p in self.model.named_parameters() if p.requires_grad}

    def encode(
        self,
        batch: Batch,
        *,
        for_jvp: bool = False,
        compiled: bool = False,
        is_meta: bool = False,
    ) -> Encoded:
        """Forward pass at the model's own parameters. `is_meta`: to the meta loss.

        `for_jvp`: keep the products of all layers, which makes a `loss_jvp` cheaper; without
        chunks only, since those are there to save memory. `compiled`: by the compiled pass where
        there is one, whose random numbers are its own, so that none of its passes can be replayed.
        """
        tape = Tape() if for_jvp and self.chunk is None else None
        local: tuple[Tensor, ...] | None = None
        draws: list[Draws] = []
        if self.chunk is None:
            draws.append(Draws.now(batch.input_ids_BS.device))
            with tape.record() if tape is not None else contextlib.nullcontext():
                local = self._outputs(batch, compiled=compiled)
            found = local
        else:
            parts = []
            for part in batch.chunks(self.chunk):
                draws.append(Draws.now(batch.input_ids_BS.device))
                with torch.no_grad():
                    parts.append(self._outputs(part))
            found = tuple(torch.cat(side) for side in zip(*parts, strict=True))
        outputs = tuple(
            ranks.gather(side.detach(), batch.num_rows).requires_grad_() for side in found
        )
        log_scale = self.model.logit_scale.detach().requires_grad_()
        return Encoded(
            batch=batch,
            outputs=outputs,
            log_scale=log_scale,
            loss_B=self.loss_B(batch, outputs, log_scale, is_meta=is_meta),
            local=local,
            draws=draws,
            tape=tape,
        )

    def gradient(
        self,
        encoded: Encoded,
        weight_B: Tensor,
        names: Sequence[str] | None = None,
        *,
        last: bool = False,
    ) -> Named:
        """∇ Σ_i ω_i L_i in the named parameters (all by default), summed over ranks.

        May be called again on the same `encoded`, with other weights, unless this is the `last`
        time: then its graph is freed on the way.
        """
        parameters = self.parameters()
        names = list(parameters) if names is None else names
        return self._pull(encoded, weight_B, {n: parameters[n] for n in names}, last)

    def mean_gradient_at(
        self, replaced: Mapping[str, Tensor], batch: Batch
    ) -> tuple[Named, Tensor]:
        """(∇ of the unweighted mean of the meta loss in the `replaced` parameters, at their values;
        the meta loss of every row).

        Runs forward and backward while the values are in place, since gradient checkpointing
        recomputes the forward pass during the backward pass. Buffers are copies meanwhile.
        """
        leaves = {n: p.detach().requires_grad_() for n, p in replaced.items()}

        def work() -> tuple[Named, Tensor]:
            encoded = self.encode(batch, is_meta=True)
            equal_B = torch.full_like(encoded.loss_B, 1 / batch.num_rows)
            return self._pull(encoded, equal_B, leaves, True), encoded.loss_B.detach()

        swapped = {f"model.{n}": p for n, p in leaves.items()}
        return call_with_copies(self._inside, swapped, (work,))

    def loss_jvp(self, encoded: Encoded, tangent: Mapping[str, Tensor]) -> Tensor:
        """s_B = ⟨∇L_i(w), tangent⟩ for every sample: one forward-mode pass, no graph.

        `encoded` is the batch at w. The encoders carry (embedding, tangent) chunk by chunk; the
        loss over the gathered rows is differentiated once, so the coupling of the batch is exact.
        """
        batch, tape = encoded.batch, encoded.tape
        with torch.no_grad(), forward_ad.dual_level(), exact_attention():
            duals = self._duals(tangent)
            parts = []
            chunks = batch.chunks(self.chunk or len(batch))
            for part, draws in zip(chunks, encoded.draws, strict=True):
                replay = tape.replay() if tape is not None else contextlib.nullcontext()
                with self._autocast(part), replay, draws.again():
                    found = self._again(part, duals)
                parts.append([x for side in found for x in primal_and_tangent(side)])
            sides = [
                ranks.gather(torch.cat(side), batch.num_rows) for side in zip(*parts, strict=True)
            ]
            outputs = tuple(map(forward_ad.make_dual, sides[::2], sides[1::2]))
            loss_B = self.loss_B(batch, outputs, duals.get(SCALE, self.model.logit_scale))
            return primal_and_tangent(loss_B)[1].clone()

    @torch.no_grad()
    def passes_apart(self, batch: Batch, *, forward_mode: bool) -> float:
        """The largest difference between what the model gives of this rank's rows in two passes
        that begin with the same state of the generators; `forward_mode`: the second one is such
        a pass."""
        draws = Draws.now(batch.input_ids_BS.device)
        with self._autocast(batch), draws.again():
            first = call_with_copies(self.model, {}, batch.model_input())
        with contextlib.ExitStack() as inside:
            duals: Named = {}
            if forward_mode:
                inside.enter_context(forward_ad.dual_level())
                inside.enter_context(exact_attention())
                duals = self._duals({n: torch.zeros_like(p) for n, p in self.parameters().items()})
            with self._autocast(batch), draws.again():
                embeds = call_with_copies(self.model, duals, batch.model_input())
            second = [primal_and_tangent(side)[0] if forward_mode else side for side in embeds]
            return max(float((a - b).abs().max()) for a, b in zip(first, second, strict=True))

    def _duals(self, tangent: Mapping[str, Tensor]) -> Named:
        return {
            name: forward_ad.make_dual(p.detach(), tangent[name]) if name in tangent else p
            for name, p in self.parameters().items()
        }

    def loss_B(
        self,
        batch: Batch,
        outputs: tuple[Tensor, ...],
        log_scale: Tensor,
        *,
        is_meta: bool = False,
    ) -> Tensor:
        """The loss of every row of the global batch: contrastive in retrieval; ℓ^qa + β ℓ^con, or
        as meta loss ℓ^qa, where something is asked."""
        video_BD, text_BD, *own = outputs
        if own and (is_meta or not self.contrast):
            return own[0]
        same_BB = same_pairs_BB(batch.clip_key_B, batch.text_key_B)
        angle_B = angles_B(video_BD, text_BD)
        margin_B = margins_B(self.loss, self.margin_now, angle_B, log_scale, batch.agreement_B)
        pair_B = self.loss(video_BD, text_BD, log_scale, margin_B=margin_B, same_BB=same_BB)
        return own[0] + self.contrast * pair_B if own else pair_B

    def _outputs(self, batch: Batch, *, compiled: bool = False) -> tuple[Tensor, ...]:
        encoders = self._compiled if compiled and self._compiled is not None else self.model
        with self._autocast(batch):
            return of_pass(encoders(*batch.model_input()), batch)

    def _again(self, part: Batch, parameters: Named) -> tuple[Tensor, ...]:
        """The outputs of another pass, with some parameters replaced."""
        return of_pass(call_with_copies(self.model, parameters, part.model_input()), part)

    def _pull(self, encoded: Encoded, weight_B: Tensor, wanted: Named, last: bool) -> Named:
        *bars, scale_bar = torch.autograd.grad(
            encoded.loss_B,
            (*encoded.outputs, encoded.log_scale),
            weight_B.detach().to(encoded.loss_B.dtype),
            retain_graph=True,
            allow_unused=True,  # the loss of answers alone has no need of the embeddings
        )
        rows = ranks.share(encoded.batch.num_rows)
        bars = [None if bar is None else bar[rows] for bar in bars]
        scale_bar = torch.zeros_like(encoded.log_scale) if scale_bar is None else scale_bar
        names = [n for n in wanted if n != SCALE]
        tensors = [wanted[n] for n in names]
        if encoded.local is not None:
            # Checkpointed blocks run again on the way back, and must not move averages again.
            with buffers_kept(self.model):
                grads = vjp(encoded.local, tensors, bars, retain=not last)
        else:
            grads = [torch.zeros_like(t) for t in tensors]
            start = 0
            chunks = encoded.batch.chunks(self.chunk or len(encoded.batch))
            for part, draws in zip(chunks, encoded.draws, strict=True):
                piece = slice(start, start + len(part))
                start += len(part)
                with self._autocast(part), draws.again():
                    outputs = self._again(part, {})
                of_part = [None if bar is None else bar[piece] for bar in bars]
                with buffers_kept(self.model):
                    found = vjp(outputs, tensors, of_part, retain=False)
                for grad, more in zip(grads, found, strict=True):
                    grad += more
        ranks.sum_in_place(grads)
        by_name = dict(zip(names, grads, strict=True))
        # The loss is computed from all rows on every rank, so this one is complete already.
        return {n: by_name[n] if n != SCALE else scale_bar for n in wanted}

    def _autocast(self, batch: Batch) -> contextlib.AbstractContextManager[object]:
        if self.autocast is None:
            return contextlib.nullcontext()
        return torch.autocast(batch.input_ids_BS.device.type, dtype=self.autocast)
