"""VIOLET: what an answer depends on, its forms, its texts, and ranking in two stages."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mama_augment.core.errors import InputError
from mama_train.models.violet import texts, windows
from mama_train.models.violet.config import VioletConfig
from mama_train.models.violet.retrieval import rank_by_fusion
from mama_train.models.violet.texts import Specials
from tests.train.models.crossmodal.meta import passes_agree
from tests.train.models.violet.conftest import some_texts, some_video, tiny_violet

EXACT = 1e-11
FORMS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "open-class": ({}, (3, 7)),
    "open-word": ({"word_ids": (5, 9, 11)}, (3, 7)),
    "choice-class": ({}, (3, 4, 7)),
    "choice-truth": ({"word_ids": (5, 6)}, (3, 4, 7)),
    "choice-index": ({"word_ids": (7, 8, 9)}, (3, 7)),
    "pair": ({}, (3, 4, 7)),
}


def apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).detach().abs().max())


@pytest.mark.parametrize("form", FORMS)
def test_an_answer_is_of_its_item_alone(form: str) -> None:
    choices, shape = FORMS[form]
    model = tiny_violet(form=form, **choices)
    ids, mask = some_texts(*shape, mask_token=bool(choices))
    video = some_video()
    together = model.answer(model.look(video), ids, mask)
    num_answers = {"open-class": 5, "open-word": 3, "choice-index": 3}
    assert together.shape == (3, num_answers.get(form, 4))
    assert together.std() > 1e-3
    for i in range(3):
        one = slice(i, i + 1)
        assert (
            apart(model.answer(model.look(video[one]), ids[one], mask[one]), together[one]) < EXACT
        )
    wider = torch.nn.functional.pad(ids, (0, 3)), torch.nn.functional.pad(mask, (0, 3))
    assert apart(model.answer(model.look(video), *wider), together) < EXACT
    assert apart(model.answer(model.look(video.flip(1)), ids, mask), together) > 1e-3


@pytest.mark.parametrize("form", ["choice-class", "choice-truth"])
def test_options_are_scored_one_by_one(form: str) -> None:
    model = tiny_violet(form=form, **FORMS[form][0])
    ids, mask = some_texts(3, 4, 7, mask_token=form == "choice-truth")
    video = some_video()
    turned = model.answer(model.look(video), ids[:, [2, 0, 3, 1]], mask[:, [2, 0, 3, 1]])
    assert apart(turned, model.answer(model.look(video), ids, mask)[:, [2, 0, 3, 1]]) < EXACT


def test_truth_is_a_probability_that_keeps_the_order() -> None:
    """A ratio of raw logits is neither, where their sum is negative."""
    model = tiny_violet(form="choice-truth", word_ids=(5, 6))
    with torch.no_grad():
        model.fc_mtm.predictions.decoder.bias[[5, 6]] -= 50
    ids, mask = some_texts(3, 4, 7, mask_token=True)
    odds = model.answer(model.look(some_video()), ids, mask)
    each = some_video().repeat_interleave(4, dim=0)
    fused = model.fuse(model.look(each), ids.flatten(0, 1), mask.flatten(0, 1))
    words = model.word_logits(fused)[ids.flatten(0, 1) == 3]
    true, false = words[:, 5].reshape(3, 4), words[:, 6].reshape(3, 4)
    assert (true + false < 0).all()
    assert apart(odds.sigmoid(), true.exp() / (true.exp() + false.exp())) < EXACT
    best = odds.argmax(1)
    assert torch.equal(best, (true - false).argmax(1))
    assert not torch.equal(best, (true / (true + false)).argmax(1))


def test_embeddings_are_from_before_fusion() -> None:
    model = tiny_violet()
    ids, mask = some_texts(3, 7)
    video, text = model(some_video(), ids, mask)
    for side in (video, text):
        assert side.shape == (3, 8)
        torch.testing.assert_close(side.norm(dim=1), torch.ones(3, dtype=torch.float64))
    of_words = torch.autograd.grad(
        video.sum(), list(model.enc_txt.parameters()), allow_unused=True, retain_graph=True
    )
    assert all(g is None for g in of_words)
    of_pixels = torch.autograd.grad(text.sum(), list(model.enc_img.parameters()), allow_unused=True)
    assert all(g is None for g in of_pixels)
    wider = torch.nn.functional.pad(ids, (0, 3)), torch.nn.functional.pad(mask, (0, 3))
    assert apart(model.embed_text(*wider), text) < EXACT
    answered = model(some_video(), ids, mask, ids[:, None], mask[:, None])
    assert apart(answered[0], video) < EXACT
    assert apart(answered[1], text) < EXACT
    seen = model.look(some_video())
    assert apart(answered[2], model.answer(seen, ids, mask)) < EXACT


def test_forward_mode_replays_dropout_and_drop_path() -> None:
    model = tiny_violet(drop_path=0.4, dropout=0.2).train()
    passes_agree(model, (some_video(), *some_texts(3, 7)), torch.tensor([0, 3, 1]))


def test_drop_path_leaves_the_mean_and_evaluation_as_they_are() -> None:
    from mama_train.models.violet.swin import DropPath

    torch.manual_seed(0)
    drop, x = DropPath(0.3), torch.ones(20_000, 1, 1)
    drawn = drop(x)
    assert set(drawn.unique().tolist()) == {0.0, float(torch.tensor(1 / 0.7))}
    assert abs(float(drawn.mean()) - 1) < 0.02
    assert torch.equal(drop.eval()(x), x)


@settings(max_examples=40, deadline=None)
@given(
    grid=st.tuples(*[st.integers(1, 6)] * 3),
    window=st.tuples(*[st.integers(1, 4)] * 3),
)
def test_shifted_windows_join_neighbours_alone(
    grid: tuple[int, int, int], window: tuple[int, int, int]
) -> None:
    window, shift = windows.fitted(grid, window, shifted=True)
    grid = windows.padded_to(grid, window)
    place = torch.stack(torch.meshgrid(*[torch.arange(n) for n in grid], indexing="ij"), -1)
    place = place[None].float()
    assert torch.equal(windows.joined(windows.cut(place, window), window, grid), place)
    if not any(shift):
        return
    rolled = place.roll([-s for s in shift], dims=(1, 2, 3))
    cells = windows.cut(rolled, window)
    allowed = windows.shift_mask(grid, window, shift) == 0
    reach = (cells[:, :, None] - cells[:, None]).abs()
    near = (reach < torch.tensor(window)).all(-1)
    assert torch.equal(allowed, near)


@settings(max_examples=30, deadline=None)
@given(whole=st.tuples(*[st.integers(1, 4)] * 3), data=st.data())
def test_a_cut_window_reads_the_biases_of_its_cells(
    whole: tuple[int, int, int], data: st.DataObject
) -> None:
    """The published slice is right where only time is cut."""
    small = tuple(data.draw(st.integers(1, n)) for n in whole)
    index = windows.reduced_index(whole, small, exact=True)
    cells = list(itertools.product(*[range(n) for n in small]))
    for (i, a), (j, b) in itertools.product(enumerate(cells), repeat=2):
        t, h, w = (x - y + n - 1 for x, y, n in zip(a, b, whole, strict=True))
        assert index[i, j] == (t * (2 * whole[1] - 1) + h) * (2 * whole[2] - 1) + w
    only_time = (small[0], *whole[1:])
    published = windows.reduced_index(whole, only_time, exact=False)
    assert torch.equal(windows.reduced_index(whole, only_time, exact=True), published)


def test_ranking_in_two_stages() -> None:
    model = tiny_violet(form="pair")
    video = torch.cat([some_video(), some_video().flip(1)])
    tokens, (ids, mask) = model.look(video), some_texts(5, 7)
    whole = rank_by_fusion(model, tokens, ids, mask, shortlist=6, pairs_per_pass=4)
    assert whole.num_fused == 30
    assert "all 30 pairs" in whole.describe()
    fused = model.answer(model.look(video), ids.expand(6, -1, -1), mask.expand(6, -1, -1)).T
    assert torch.equal(whole.score_NV.argsort(1), fused.argsort(1))
    assert torch.equal(whole.score_NV.argsort(0), fused.argsort(0))

    short = rank_by_fusion(model, tokens, ids, mask, shortlist=2)
    cosine = model.embed_text(ids, mask) @ model.embed_video(video).T
    listed = short.score_NV > -1
    assert int(listed.sum()) == short.num_fused < 30
    assert "two stages: the 2 best" in short.describe()
    assert f"{short.num_fused} of 30" in short.describe()
    for t in range(5):
        assert listed[t, cosine[t].topk(2).indices].all()
        rest = ~listed[t]
        if rest.any():
            assert short.score_NV[t, rest].max() < short.score_NV[t, listed[t]].min()
        assert torch.equal(short.score_NV[t, rest].argsort(), cosine[t, rest].argsort())
        assert torch.equal(short.score_NV[t, listed[t]].argsort(), fused[t, listed[t]].argsort())
    for v in range(6):
        assert listed[cosine[:, v].topk(2).indices, v].all()
    with pytest.raises(InputError, match="shortlist is 0"):
        rank_by_fusion(model, tokens, ids, mask, shortlist=0)
    with pytest.raises(InputError, match="needs 'pair'"):
        rank_by_fusion(tiny_violet(), tokens, ids, mask)


def test_texts_end_where_their_form_says() -> None:
    s = Specials(pad=0, cls=1, sep=2, mask=3)
    question, option = [10, 11, 12], [20, 21]
    assert texts.plain(s, question, option, max_tokens=9) == [1, 10, 11, 12, 20, 21, 2]
    assert texts.plain(s, question, option, max_tokens=5) == [1, 10, 11, 12, 2]
    asked = texts.asking_word(s, question, [30, 31], max_tokens=6)
    assert asked == [1, 10, 30, 31, 3, 2]
    truth = texts.asking_truth(s, question, option, max_tokens=25)
    assert truth == [1, 10, 11, 12, 20, 21, 3, 2]
    index = texts.asking_index(s, question, [([7], [20]), ([8], [21])], max_tokens=25)
    assert index == [1, 10, 11, 12, 2, 7, 20, 2, 8, 21, 3, 2]
    ids, mask = texts.padded(s, [asked, truth])
    assert ids.shape == (2, 8)
    assert mask.sum(1).tolist() == [6, 8]
    assert not ids[0, 6:].any()
    with pytest.raises(InputError, match="at least"):
        texts.asking_word(s, question, [30, 31], max_tokens=5)


def test_evaluation_before_training_leaves_nothing_that_training_cannot_use() -> None:
    """Indices of windows are kept from pass to pass."""
    windows.reduced_index.cache_clear()
    windows.shift_mask.cache_clear()
    model, (ids, mask) = tiny_violet(), some_texts(3, 7)
    with torch.inference_mode():
        model.answer(model.look(some_video()), ids, mask)
    model.answer(model.look(some_video()), ids, mask).sum().backward()
    name = "enc_img.swin.layers.0.blocks.1.attn.relative_position_bias_table"
    grad = model.get_parameter(name).grad
    assert grad is not None
    assert grad.abs().sum() > 0


def test_users_mistakes_are_named() -> None:
    model = tiny_violet(form="open-word")
    ids, mask = some_texts(3, 7, mask_token=True)
    ids[1][ids[1] == 3] = 4
    with pytest.raises(InputError, match="text 1 has 0 mask tokens"):
        model.answer(model.look(some_video()), ids, mask)
    with pytest.raises(InputError, match="7 frames"):
        model.look(torch.zeros(1, 7, 3, 32, 32, dtype=torch.float64))
    for choices, what in (
        ({"form": "open"}, "open-class"),
        ({"num_frames": 7}, "max_frames"),
        ({"image_size_px": 230}, "multiple of 32"),
        ({"image_size_px": 480}, "at most 448"),
        ({"form": "choice-truth"}, "two word_ids"),
        ({"form": "choice-index"}, "digits"),
    ):
        with pytest.raises(InputError, match=what):
            VioletConfig(**choices)
