"""Dropout, DropPath and BatchNorm in the passes of a meta step: drawn again, and left alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mama_train.models.base import DualEncoder, unit
from mama_train.models.specs import FrameSpec
from mama_train.models.tokenizer import TextTokenizer
from mama_train.objective.config import MarginLoss, Weighting
from mama_train.objective.guard import check_passes
from mama_train.objective.meta import VirtualStep, meta_gradient
from mama_train.objective.objective import Objective
from mama_train.objective.replay import Draws
from mama_train.objective.unrolled import unrolled_meta_gradient
from mama_train.objective.weighting import Weigher, WeightNet
from tests.train.conftest import random_batch


class DropPath(nn.Module):
    """Leaves a residual branch out, row by row."""

    def forward(self, x: Tensor) -> Tensor:
        keep = torch.rand(len(x), 1, dtype=x.dtype, device=x.device) < 0.7
        return x * keep / 0.7 if self.training else x


class Noisy(DualEncoder):
    """Two small towers with all that draws or remembers; `own` draws from elsewhere."""

    def __init__(self, *, own: bool = False) -> None:
        super().__init__(FrameSpec(num_frames=3, size_px=16))
        torch.manual_seed(0)
        self.embed_dim = 6
        self.video = nn.Sequential(nn.Linear(9, 16), nn.BatchNorm1d(16), nn.GELU(), nn.Dropout(0.3))
        self.video_out = nn.Linear(16, 6)
        self.words = nn.Embedding(30, 16)
        self.text = nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Dropout(0.2), DropPath())
        self.text_out = nn.Linear(16, 6)
        self.logit_scale = nn.Parameter(torch.tensor(2.0))
        self.own = torch.Generator() if own else None

    def embed_video(self, video: Tensor) -> Tensor:
        x = self.pixels(video).mean((3, 4)).flatten(1)
        if self.own is not None:
            x = x + torch.rand(x.shape, generator=self.own)
        return unit(self.video_out(self.video(x)))

    def embed_text(self, input_ids_BS: Tensor, mask_BS: Tensor) -> Tensor:
        x = self.words(input_ids_BS).mean(1)
        return unit(self.text_out(x + self.text(x)))

    def upper_names(self, num_layers: int) -> list[str]:
        return ["video_out.weight", "text_out.weight"]

    def config_json(self) -> dict[str, Any]:
        return {}


def weigher() -> Weigher:
    torch.manual_seed(5)
    net = WeightNet(8).double()
    nn.init.normal_(net.out.weight)
    return Weigher(weighting=Weighting(), net=net)


@pytest.mark.parametrize("tape", [True, False])
def test_the_meta_step_is_exact_with_dropout_and_batch_norm(tape: bool) -> None:
    """Both ways draw the same numbers in the same order: the training pass, then the meta pass."""
    model, weigh, step = Noisy().double().train(), weigher(), VirtualStep(lr=0.05)
    objective = Objective(model, MarginLoss())
    batch, meta_batch = random_batch(1), random_batch(2, 4)
    torch.manual_seed(9)
    expected = unrolled_meta_gradient(objective, batch, meta_batch, weigh, step)[0]
    torch.manual_seed(9)
    encoded = objective.encode(batch, for_jvp=tape)
    found = meta_gradient(objective, encoded, meta_batch, weigh, step).theta_gradient
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-13)
    torch.manual_seed(10)
    encoded = objective.encode(batch)
    other = meta_gradient(objective, encoded, meta_batch, weigh, step).theta_gradient
    assert not torch.allclose(other[0], expected[0], rtol=1e-3)  # dropout did act


def test_cached_features_replay_what_was_drawn() -> None:
    """Chunks are exact for themselves: the slope of their loss, at the numbers that they drew."""
    model = Noisy().double().train()
    objective = Objective(model, MarginLoss(margin=0.05), chunk=3)
    batch, even_B = random_batch(1), torch.full((6,), 1 / 6, dtype=torch.float64)
    torch.manual_seed(9)
    encoded = objective.encode(batch)
    gradient = objective.gradient(encoded, even_B)
    torch.manual_seed(3)
    direction = {n: torch.randn_like(p) for n, p in objective.parameters().items()}
    s_B = objective.loss_jvp(encoded, direction)
    along = sum(float((gradient[n] * d).sum()) for n, d in direction.items())
    assert float(s_B.mean()) == pytest.approx(along, rel=1e-9)
    eps, losses = 1e-6, []
    for sign in (1, -1):
        moved = {n: p + sign * eps * direction[n] for n, p in objective.parameters().items()}
        torch.manual_seed(9)
        losses.append(objective.mean_gradient_at(moved, batch)[1])
    torch.testing.assert_close(s_B, (losses[0] - losses[1]) / (2 * eps), rtol=1e-5, atol=1e-7)


def test_only_the_training_pass_moves_the_averages_of_batch_norm() -> None:
    for chunk in (None, 3):
        model = Noisy().double().train()
        objective = Objective(model, MarginLoss(), chunk=chunk)
        before = {n: b.clone() for n, b in model.named_buffers()}
        encoded = objective.encode(random_batch(1))
        after = {n: b.clone() for n, b in model.named_buffers()}
        assert any(not torch.equal(before[n], after[n]) for n in before)
        meta_gradient(objective, encoded, random_batch(2), weigher(), VirtualStep(lr=0.05))
        assert all(torch.equal(after[n], b) for n, b in model.named_buffers())


class Again(Noisy):
    """Computes its video tower again on the way back."""

    def embed_video(self, video: Tensor) -> Tensor:
        return checkpoint(super().embed_video, video, use_reentrant=False)


@pytest.mark.parametrize("chunk", [None, 3])
def test_batch_norm_moves_once_where_blocks_are_computed_again(chunk: int | None) -> None:
    found = []
    for kind in (Noisy, Again):
        model = kind().double().train()
        objective = Objective(model, MarginLoss(), chunk=chunk)
        torch.manual_seed(4)
        for seed in (1, 2):
            encoded = objective.encode(random_batch(seed))
            weight_B = torch.full((6,), 1 / 6, dtype=torch.float64)
            objective.gradient(encoded, weight_B)
            gradient = objective.gradient(encoded, weight_B, last=True)
        found.append((dict(model.named_buffers()), gradient))
    for before, after in zip(*found, strict=True):
        for name, tensor in before.items():
            torch.testing.assert_close(after[name], tensor, rtol=1e-12, atol=1e-12)
    assert int(found[1][0]["video.1.num_batches_tracked"]) == (2 if chunk is None else 4)


def test_draws_are_repeated_and_then_go_on() -> None:
    torch.manual_seed(1)
    draws = Draws.now(torch.device("cpu"))
    first, second = torch.rand(3), torch.rand(3)
    torch.manual_seed(1)
    torch.rand(3)
    with draws.again():
        assert torch.equal(torch.rand(3), first)
    assert torch.equal(torch.rand(3), second)


def test_a_model_that_draws_elsewhere_is_refused_and_dropout_is_not() -> None:
    tokenizer = TextTokenizer.of_words(["a b"], max_tokens=6)
    for forward_mode in (True, False):
        check_passes(Noisy().train(), tokenizer, None, forward_mode=forward_mode)
        with pytest.raises(ValueError, match="two forward passes"):
            check_passes(Noisy(own=True).train(), tokenizer, None, forward_mode=forward_mode)


class FusedDropout(Noisy):
    """Attention whose fused kernel may drop other weights than the plain one."""

    def embed_text(self, input_ids_BS: Tensor, mask_BS: Tensor) -> Tensor:
        x = self.words(input_ids_BS)[:, None]
        p = 0.5 if self.training else 0.0
        return unit(self.text_out(F.scaled_dot_product_attention(x, x, x, dropout_p=p)[:, 0, 0]))


def test_attention_with_dropout_is_exact_where_its_passes_agree() -> None:
    model = FusedDropout().double().train()
    objective = Objective(model, MarginLoss())
    batch = random_batch(1)
    assert objective.passes_apart(batch, forward_mode=True) < 1e-12
