"""The batch objective split in two: encoders, per rank and per chunk, and one loss over all rows.

    parameters --encoders--> embeddings (gathered over ranks) --margin loss--> loss_B

Every derivative of training is built from this split, so that chunks (cached features for large
batches), several processes and forward-mode AD all share one code path and stay exact although
the loss couples the batch.

Shapes: B samples of the global batch, D embedding dimensions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from mama_train import ranks
from mama_train.data.batch import Batch
from mama_train.models.base import DualEncoder
from mama_train.objective.config import MarginLoss
from mama_train.objective.losses import same_pairs_BB
from mama_train.objective.margins import MarginNow, angles_B, margins_B
from mama_train.objective.replay import Draws, buffers_kept, call_with_copies
from mama_train.objective.tape import Tape

Named = dict[str, Tensor]
SCALE = "logit_scale"


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """A batch after the forward pass: global embeddings as leaves, the loss above, the graph below.

    `local` holds this rank's embeddings with their graph, or None when only features were kept
    (the encoders are then run again, chunk by chunk, on the way back). `tape` remembers the
    forward pass for a forward-mode one at the same parameters, if that was asked for. `draws`: the
    generators before each chunk.
    """

    batch: Batch
    video_BD: Tensor
    text_BD: Tensor
    log_scale: Tensor
    loss_B: Tensor
    local: tuple[Tensor, Tensor] | None
    draws: list[Draws]
    tape: Tape | None = None


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
    ) -> None:
        """`chunk`: rows per encoder call; None encodes a batch at once and keeps its graph.
        `compile`: offer `encode` a compiled pass.

        `margin_now` may be set from step to step; within a step it stays.
        """
        self.model = model
        self.loss = loss
        self.chunk = chunk
        self.autocast = autocast
        self.margin_now = MarginNow()
        self._inside = _Inside(model)
        self._compiled = torch.compile(model) if compile else None

    def parameters(self) -> Named:
        """The trained parameters by name; frozen ones are constants of the objective."""
        return {n: p for n, p in self.model.named_parameters() if p.requires_grad}

    def encode(self, batch: Batch, *, for_jvp: bool = False, compiled: bool = False) -> Encoded:
        """Forward pass at the model's own parameters.

        `for_jvp`: keep the products of all layers, which makes a `loss_jvp` cheaper; without
        chunks only, since those are there to save memory. `compiled`: by the compiled pass where
        there is one, whose random numbers are its own, so that none of its passes can be replayed.
        """
        tape = Tape() if for_jvp and self.chunk is None else None
        draws: list[Draws] = []
        if self.chunk is None:
            draws.append(Draws.now(batch.input_ids_BS.device))
            with tape.record() if tape is not None else contextlib.nullcontext():
                video_bD, text_bD = self._embed(batch, compiled=compiled)
            local = (video_bD, text_bD)
        else:
            parts = []
            for part in batch.chunks(self.chunk):
                draws.append(Draws.now(batch.input_ids_BS.device))
                with torch.no_grad():
                    parts.append(self._embed(part))
            video_bD, text_bD = (torch.cat(side) for side in zip(*parts, strict=True))
            local = None
        video_BD = ranks.gather(video_bD.detach(), batch.num_rows).requires_grad_()
        text_BD = ranks.gather(text_bD.detach(), batch.num_rows).requires_grad_()
        log_scale = self.model.logit_scale.detach().requires_grad_()
        loss_B = self._loss_B(batch, video_BD, text_BD, log_scale)
        return Encoded(
            batch=batch,
            video_BD=video_BD,
            text_BD=text_BD,
            log_scale=log_scale,
            loss_B=loss_B,
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
        """∇ of the unweighted mean loss in the `replaced` parameters, at their values; and loss_B.

        Runs forward and backward while the values are in place, since gradient checkpointing
        recomputes the forward pass during the backward pass. Buffers are copies meanwhile.
        """
        leaves = {n: p.detach().requires_grad_() for n, p in replaced.items()}

        def work() -> tuple[Named, Tensor]:
            encoded = self.encode(batch)
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
                    embeds = call_with_copies(self.model, duals, part.model_input())
                parts.append([x for side in embeds for x in _primal_and_tangent(side)])
            video_bD, video_dot, text_bD, text_dot = (
                torch.cat(side) for side in zip(*parts, strict=True)
            )
            video_BD, video_dot, text_BD, text_dot = (
                ranks.gather(x, batch.num_rows) for x in (video_bD, video_dot, text_bD, text_dot)
            )
            loss_B = self._loss_B(
                batch,
                forward_ad.make_dual(video_BD, video_dot),
                forward_ad.make_dual(text_BD, text_dot),
                duals.get(SCALE, self.model.logit_scale),
            )
            return _primal_and_tangent(loss_B)[1].clone()

    @torch.no_grad()
    def passes_apart(self, batch: Batch, *, forward_mode: bool) -> float:
        """The largest difference between embeddings of this rank's rows from two passes that begin
        with the same state of the generators; `forward_mode`: the second one is such a pass."""
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
            second = [_primal_and_tangent(side)[0] if forward_mode else side for side in embeds]
            return max(float((a - b).abs().max()) for a, b in zip(first, second, strict=True))

    def _duals(self, tangent: Mapping[str, Tensor]) -> Named:
        return {
            name: forward_ad.make_dual(p.detach(), tangent[name]) if name in tangent else p
            for name, p in self.parameters().items()
        }

    def _loss_B(self, batch: Batch, video_BD: Tensor, text_BD: Tensor, log_scale: Tensor) -> Tensor:
        same_BB = same_pairs_BB(batch.clip_key_B, batch.text_key_B)
        angle_B = angles_B(video_BD, text_BD)
        margin_B = margins_B(self.loss, self.margin_now, angle_B, log_scale, batch.agreement_B)
        return self.loss(video_BD, text_BD, log_scale, margin_B=margin_B, same_BB=same_BB)

    def _embed(self, batch: Batch, *, compiled: bool = False) -> tuple[Tensor, Tensor]:
        encoders = self._compiled if compiled and self._compiled is not None else self.model
        with self._autocast(batch):
            return encoders(*batch.model_input())

    def _pull(self, encoded: Encoded, weight_B: Tensor, wanted: Named, last: bool) -> Named:
        leaves = (encoded.video_BD, encoded.text_BD, encoded.log_scale)
        video_bar, text_bar, scale_bar = torch.autograd.grad(
            encoded.loss_B, leaves, weight_B.detach().to(encoded.loss_B.dtype), retain_graph=True
        )
        rows = ranks.share(encoded.batch.num_rows)
        video_bar, text_bar = video_bar[rows], text_bar[rows]
        names = [n for n in wanted if n != SCALE]
        tensors = [wanted[n] for n in names]
        if encoded.local is not None:
            # Checkpointed blocks run again on the way back, and must not move averages again.
            with buffers_kept(self.model):
                grads = _vjp(encoded.local, tensors, (video_bar, text_bar), retain=not last)
        else:
            grads = [torch.zeros_like(t) for t in tensors]
            start = 0
            chunks = encoded.batch.chunks(self.chunk or len(encoded.batch))
            for part, draws in zip(chunks, encoded.draws, strict=True):
                piece = slice(start, start + len(part))
                start += len(part)
                with self._autocast(part), draws.again():
                    embeds = call_with_copies(self.model, {}, part.model_input())
                bars = (video_bar[piece], text_bar[piece])
                with buffers_kept(self.model):
                    found = _vjp(embeds, tensors, bars, retain=False)
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


class _Inside(nn.Module):
    """Calls a function while `functional_call` has put other values in the model's place."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, work: Callable[[], tuple[Named, Tensor]]) -> tuple[Named, Tensor]:
        return work()


@contextlib.contextmanager
def exact_attention() -> Iterator[None]:
    """Attention by plain matrix products; the fused kernels have no forward-mode derivative."""
    with sdpa_kernel(SDPBackend.MATH):
        yield


def _vjp(
    outputs: Sequence[Tensor], tensors: Sequence[Tensor], bars: Sequence[Tensor], *, retain: bool
) -> list[Tensor]:
    pairs = [(o, b.to(o.dtype)) for o, b in zip(outputs, bars, strict=True) if o.requires_grad]
    if not pairs:
        return [torch.zeros_like(t) for t in tensors]
    grads = torch.autograd.grad(
        [o for o, _ in pairs],
        tensors,
        [b for _, b in pairs],
        retain_graph=retain,
        allow_unused=True,
    )
    return [torch.zeros_like(t) if g is None else g for t, g in zip(tensors, grads, strict=True)]


def _primal_and_tangent(dual: Tensor) -> tuple[Tensor, Tensor]:
    primal, tangent = forward_ad.unpack_dual(dual)
    return primal, torch.zeros_like(primal) if tangent is None else tangent
