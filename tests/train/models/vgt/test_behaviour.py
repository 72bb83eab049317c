"""VGT: what a score depends on, and what it must not depend on."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mama_augment.core.errors import InputError
from mama_train.models.vgt.config import Regions, VgtConfig
from mama_train.models.vgt.linking import along_tracks, link_regions
from tests.train.models.crossmodal.meta import passes_agree
from tests.train.models.vgt.conftest import some_regions, some_texts, tiny_vgt

EXACT = 1e-12


def rows(regions: Regions, which: slice) -> Regions:
    return Regions(*(None if x is None else x[which] for x in regions))  # type: ignore[arg-type]


def apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).detach().abs().max())


@pytest.mark.parametrize("masked", [False, True])
def test_a_score_is_of_its_item_alone(masked: bool) -> None:
    model, regions = tiny_vgt(), some_regions(masked=masked)
    ids, mask = some_texts(3, 4, 9)
    together = model.answer(regions, ids, mask)
    assert together.std() > 1e-3
    for i in range(3):
        alone = model.answer(rows(regions, slice(i, i + 1)), ids[i : i + 1], mask[i : i + 1])
        assert apart(alone, together[i : i + 1]) < EXACT
    wider = torch.nn.functional.pad(ids, (0, 3)), torch.nn.functional.pad(mask, (0, 3))
    assert apart(model.answer(regions, *wider), together) < EXACT


def test_the_published_pooling_feels_padding() -> None:
    model, regions = tiny_vgt(text_pooling="padded"), some_regions()
    ids, mask = some_texts(3, 4, 9)
    wider = torch.nn.functional.pad(ids, (0, 3)), torch.nn.functional.pad(mask, (0, 3))
    assert apart(model.answer(regions, *wider), model.answer(regions, ids, mask)) > 1e-3


@pytest.mark.parametrize("training", [False, True])
def test_what_stands_in_a_hole_is_not_seen(training: bool) -> None:
    model, regions = tiny_vgt().train(training), some_regions(masked=True)
    ids, mask = some_texts(3, 4, 9)
    hole = regions.mask_BCFR
    assert hole is not None
    assert not hole.all()
    other = regions._replace(
        region_BCFRW=regions.region_BCFRW.masked_fill(~hole[..., None], 7.0),
        box_BCFR5=regions.box_BCFR5.masked_fill(~hole[..., None], 3.0),
    )
    expected = model.answer(regions, ids, mask)
    assert apart(model.answer(other, ids, mask), expected) < EXACT
    everywhere = model.answer(regions._replace(mask_BCFR=None), ids, mask)
    assert apart(everywhere, expected) > 1e-3
    full = regions._replace(mask_BCFR=torch.ones_like(hole))
    assert apart(model.answer(full, ids, mask), everywhere) < EXACT


def test_a_frame_without_any_region_is_its_own_vector() -> None:
    model, regions = tiny_vgt(), some_regions(masked=True)
    nothing = regions._replace(mask_BCFR=torch.zeros(3, 3, 2, 5, dtype=torch.bool))
    other = nothing._replace(region_BCFRW=nothing.region_BCFRW + 1)
    embed = model.embed_video(nothing)
    assert embed.isfinite().all()
    assert apart(embed, model.embed_video(other)) == 0
    frames = nothing._replace(frame_BCFW=nothing.frame_BCFW.flip(0))
    assert apart(embed.flip(0), model.embed_video(frames)) < EXACT


def test_order_of_frames_is_seen_with_positions_alone() -> None:
    regions, (ids, mask) = some_regions(), some_texts(3, 4, 9)
    back = Regions(*(x.flip(2) for x in regions[:3]))
    clips_back = Regions(*(x.flip(1) for x in regions[:3]))
    blind, seeing = tiny_vgt(), tiny_vgt(num_frame_positions=2)
    assert apart(blind.answer(regions, ids, mask), blind.answer(back, ids, mask)) < EXACT
    assert apart(seeing.answer(regions, ids, mask), seeing.answer(back, ids, mask)) > 1e-4
    assert apart(blind.answer(regions, ids, mask), blind.answer(clips_back, ids, mask)) > 1e-4
    with pytest.raises(InputError, match="3 frames"):
        seeing.answer(some_regions(frames=3), ids, mask)


def test_kept_answers_are_those_of_the_weights_when_they_were_encoded() -> None:
    model, regions = tiny_vgt(), some_regions()
    answers, question = some_texts(6, 4), some_texts(3, 9)
    model.set_answers(*answers)
    fresh = model.answer(regions, *question)
    model.train()
    model.set_answers(*answers, cached=True)
    assert model.training
    model.eval()
    assert apart(model.answer(regions, *question), fresh) < EXACT
    with torch.no_grad():
        model.text.linear_text.weight.mul_(1.5)
    stale = model.answer(regions, *question)
    model.refresh_answers()
    renewed = model.answer(regions, *question)
    model.set_answers(*answers)
    assert apart(renewed, model.answer(regions, *question)) < EXACT
    assert apart(renewed, stale) > 1e-3
    assert not any(name.startswith("answers.") for name in model.state_dict())


def test_an_open_question_needs_answers() -> None:
    with pytest.raises(InputError, match="set_answers"):
        tiny_vgt().answer(some_regions(), *some_texts(3, 9))


def test_embeddings_are_from_before_fusion() -> None:
    model, regions = tiny_vgt(), some_regions()
    ids, mask = some_texts(3, 9)
    video, text = model.embed_video(regions), model.embed_text(ids, mask)
    for side in (video, text):
        assert side.shape == (3, 256)
        torch.testing.assert_close(side.norm(dim=1), torch.ones(3, dtype=torch.float64))
    assert apart(model.embed_text(ids[:1], mask[:1]), text[:1]) < EXACT
    gradients = torch.autograd.grad(video.sum(), list(model.text.parameters()), allow_unused=True)
    assert all(g is None for g in gradients)


def test_frozen_batch_norm_makes_losses_of_their_items_alone() -> None:
    ids, mask = some_texts(3, 4, 9)
    regions = some_regions()
    for frozen in (True, False):
        model = tiny_vgt(frozen_batch_norm=frozen).train()
        before = [b.clone() for b in model.buffers()]
        together = model.answer(regions, ids, mask)
        alone = model.answer(rows(regions, slice(0, 1)), ids[:1], mask[:1])
        assert (apart(alone, together[:1]) < EXACT) is frozen
        same = all(torch.equal(a, b) for a, b in zip(before, model.buffers(), strict=True))
        assert same is frozen


def test_forward_mode_replays_dropout() -> None:
    regions, (ids, mask) = some_regions(masked=True), some_texts(3, 4, 9)
    model = tiny_vgt(dropout=0.3).train()
    passes_agree(model, (regions, ids, mask), torch.tensor([0, 3, 1]))


def test_sizes_that_cannot_be() -> None:
    with pytest.raises(InputError, match="edge_heads"):
        VgtConfig(num_regions=4)
    with pytest.raises(InputError, match="width"):
        VgtConfig(width=100)
    model, regions = tiny_vgt(), some_regions()
    few = Regions(regions.region_BCFRW[..., :4, :], regions.box_BCFR5[..., :4, :], regions[2])
    with pytest.raises(InputError, match="4 per frame"):
        model.answer(few, *some_texts(3, 4, 9))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), num_frames=st.integers(1, 5), num_regions=st.integers(1, 6))
def test_every_region_is_in_one_track(seed: int, num_frames: int, num_regions: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    corner = 100 * torch.rand(num_frames, num_regions, 2, generator=generator)
    boxes = torch.cat([corner, corner + 20], -1)
    vectors = torch.randn(num_frames, num_regions, 4, generator=generator)
    there = torch.rand(num_frames, num_regions, generator=generator) < 0.7
    tracks = link_regions(boxes, vectors, there)
    for t in range(num_frames):
        found = tracks[:, t][tracks[:, t] >= 0]
        assert sorted(found.tolist()) == there[t].nonzero().flatten().tolist()
    linked, mask = along_tracks(vectors, tracks)
    assert int(mask.sum()) == int(there.sum())
    torch.testing.assert_close(linked.sum((0, 1)), (vectors * there[..., None]).sum((0, 1)))
    assert not linked[~mask].any()


def test_an_object_keeps_its_track_across_a_hole() -> None:
    boxes = torch.tensor([[0, 0, 9, 9], [50, 50, 59, 59]]).float().expand(3, 2, 4).clone()
    vectors = torch.eye(2).expand(3, 2, 2).clone()
    boxes[2], vectors[2] = boxes[2].flip(0), vectors[2].flip(0)  # numbered otherwise
    there = torch.tensor([[True, True], [False, True], [True, True]])
    assert link_regions(boxes, vectors, there).tolist() == [[0, -1, 1], [1, 1, 0]]


def test_an_object_unlike_all_others_begins_a_track_where_one_is_free() -> None:
    boxes = torch.tensor([[0, 0, 9, 9], [50, 50, 59, 59]]).float().expand(2, 2, 4).clone()
    vectors = torch.tensor([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [-1.0, 0.1]]])
    there = torch.tensor([[True, False], [False, True]])
    assert link_regions(boxes, vectors, there).tolist() == [[0, -1], [-1, 1]]
    alike = vectors.clone()
    alike[1, 1] = torch.tensor([1.0, 0.1])
    assert link_regions(boxes, alike, there).tolist() == [[0, 1], [-1, -1]]
