"""ℓ_i = ℓ_i^qa + β ℓ_i^con and its derivatives: exact through chunks, forward mode, meta steps."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from mama_train.data.batch import Asked, Batch
from mama_train.models.answers import AnswerConfig, AnswerHead, AnswerKind
from mama_train.models.clip_vip import ClipVip
from mama_train.objective.config import MarginLoss, Weighting
from mama_train.objective.meta import VirtualStep, adamw_step, meta_gradient
from mama_train.objective.objective import Objective
from mama_train.objective.unrolled import unrolled_meta_gradient
from mama_train.objective.weighting import Weigher, WeightNet
from mama_train.run.config import OptimConfig
from mama_train.run.optim import make_optimizer
from tests.train.conftest import random_batch, tiny_model

KINDS: tuple[AnswerKind, ...] = ("qa-open", "qa-choice")
MARGIN = MarginLoss(margin=0.1)


def answering(kind: AnswerKind) -> ClipVip:
    model = tiny_model()
    answers = ("red", "green", "blue", "left", "right") if kind == "qa-open" else ()
    torch.manual_seed(1)
    head = AnswerHead(AnswerConfig(kind=kind, width=12, hidden=8, answers=answers))
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.answer_head = head.double()
    return model


def asking(kind: AnswerKind, seed: int) -> Batch:
    """Six rows; with options, four of them, of which some rows have three."""
    batch = random_batch(seed)
    generator = torch.Generator().manual_seed(seed + 50)
    num = 1 if kind == "qa-open" else 4
    ids = torch.randint(0, 28, (6, num, 8), generator=generator)
    ids[..., -1] = 29
    counts = torch.ones(6, 4, dtype=torch.bool)
    counts[::2, 3] = False
    asked = Asked(
        ids_bKS=ids,
        mask_bKS=torch.ones_like(ids),
        answer_b=torch.randint(0, 3, (6,), generator=generator),
        counts_bK=None if kind == "qa-open" else counts,
    )
    return dataclasses.replace(batch, asked=asked)


def weigher() -> Weigher:
    torch.manual_seed(5)
    net = WeightNet(8).double()
    with torch.no_grad():
        net.out.weight.normal_()
    return Weigher(weighting=Weighting(), net=net)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_that_of_the_answer_and_a_share_of_the_pair(kind: AnswerKind) -> None:
    model, batch = answering(kind), asking(kind, 0)
    assert batch.asked is not None
    found_B = Objective(model, MARGIN, contrast=0.25).encode(batch).loss_B
    video, text, logits = model(*batch.model_input())
    pair_B = Objective(model, MARGIN).encode(dataclasses.replace(batch, asked=None)).loss_B
    if batch.asked.counts_bK is not None:
        logits = logits.masked_fill(~batch.asked.counts_bK, -1e9)
    own_B = F.cross_entropy(logits, batch.asked.answer_b, reduction="none")
    torch.testing.assert_close(found_B, own_B + 0.25 * pair_B)
    meta_B = Objective(model, MARGIN, contrast=0.25).encode(batch, is_meta=True).loss_B
    torch.testing.assert_close(meta_B, own_B)
    # The margin is on what the towers say of one side alone.
    torch.testing.assert_close(video, model.embed_video(batch.video))
    torch.testing.assert_close(text, model.embed_text(batch.input_ids_BS, batch.mask_BS))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("contrast", [0.25, 0.0])
def test_chunks_and_forward_mode_are_exact(kind: AnswerKind, contrast: float) -> None:
    model, batch = answering(kind), asking(kind, 0)
    whole = Objective(model, MARGIN, contrast=contrast)
    weight_B = torch.rand(6, dtype=torch.float64)
    expected = whole.gradient(whole.encode(batch), weight_B)
    assert float(expected["answer_head.mlp.0.weight"].norm()) > 1e-3
    names = whole.parameters()
    torch.manual_seed(3)
    tangent = {n: torch.randn_like(p) for n, p in names.items()}
    jvp_B = whole.loss_jvp(whole.encode(batch, for_jvp=True), tangent)
    for chunk in (1, 4):
        parts = Objective(model, MARGIN, contrast=contrast, chunk=chunk)
        encoded = parts.encode(batch)
        found = parts.gradient(encoded, weight_B)
        for name in names:
            torch.testing.assert_close(found[name], expected[name], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(parts.loss_jvp(encoded, tangent), jvp_B)
    along = sum((expected[n] * tangent[n]).sum() for n in names)
    torch.testing.assert_close((weight_B * jvp_B).sum(), along)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunk", [None, 4])
@pytest.mark.parametrize("by", ["sgd", "adamw"])
def test_the_meta_gradient_is_that_of_second_order_autograd(
    kind: AnswerKind, chunk: int | None, by: str
) -> None:
    model, batch, meta_batch = answering(kind), asking(kind, 0), asking(kind, 9)
    objective = Objective(model, MARGIN, contrast=0.25, chunk=chunk)
    step = VirtualStep(lr=0.05)
    if by == "adamw":
        optimizer = make_optimizer(
            model, OptimConfig(lr=0.05), dict.fromkeys(dict(model.named_parameters()), 1.0)
        )
        update = adamw_step(optimizer, objective.parameters(), clip_norm=0.5)
        step = VirtualStep(lr=0.05, update=update)
    weigh = weigher()
    expected, _, _ = unrolled_meta_gradient(objective, batch, meta_batch, weigh, step)
    outcome = meta_gradient(objective, objective.encode(batch), meta_batch, weigh, step)
    scale = max(float(e.norm()) for e in expected)
    assert scale > 1e-9
    for found, wanted in zip(outcome.theta_gradient, expected, strict=True):
        assert float((found - wanted).norm()) / scale < 1e-8


def test_two_questions_about_one_clip_are_not_negatives_of_each_other() -> None:
    model, batch = answering("qa-open"), asking("qa-open", 0)
    key = batch.clip_key_B.clone()
    key[3] = key[2]
    shared = dataclasses.replace(batch, clip_key_B=key)
    ids = batch.input_ids_BS.clone()
    ids[3, :4] = torch.tensor([5, 6, 7, 8])
    moved = dataclasses.replace(shared, input_ids_BS=ids)
    objective = Objective(model, MARGIN, contrast=0.25)
    before, after = objective.encode(shared).loss_B, objective.encode(moved).loss_B
    assert before[2] == after[2]
    assert (before[[0, 1, 4, 5]] != after[[0, 1, 4, 5]]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_else_is_in_the_batch_does_not_change_an_answer(kind: AnswerKind) -> None:
    model, batch = answering(kind), asking(kind, 0)
    logits = model(*batch.model_input())[2]
    first = next(batch.chunks(1))
    torch.testing.assert_close(model(*first.model_input())[2][0], logits[0])


def test_options_begin_with_how_well_the_clip_fits_them() -> None:
    head = AnswerHead(AnswerConfig(kind="qa-choice", width=4))
    video, texts = F.normalize(torch.randn(3, 4), dim=1), F.normalize(torch.randn(3, 5, 4), dim=2)
    cosines = (video[:, None] * texts).sum(dim=2)
    torch.testing.assert_close(head(video, texts), head.log_scale.exp() * cosines)
