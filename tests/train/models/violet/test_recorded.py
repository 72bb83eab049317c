"""VIOLET: what the published model was recorded to compute, at every depth and by every head."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mama_train.models.violet.model import Violet
from mama_train.models.violet.retrieval import mean_of_clips, rank_by_fusion
from mama_train.models.violet.swin import SwinConfig, VideoSwin
from mama_train.models.violet.windows import relative_index
from tests.train.models.crossmodal.meta import answer_loss, recorded_theta, sgd_meta_gradient
from tests.train.models.violet.conftest import SWIN, head_of, recorded_violet

Recorded = dict[str, Tensor]
DEPTH = 1e-5


def close(actual: Tensor, expected: Tensor, atol: float = DEPTH, rtol: float = 0.0) -> None:
    torch.testing.assert_close(actual.detach(), expected, atol=atol, rtol=rtol)


def video_of(recorded: Recorded) -> Tensor:
    return recorded["input/video_fp16"].float()


def channels_first(x: Tensor) -> Tensor:
    return x.permute(0, 4, 1, 2, 3)


def test_the_swin_at_every_depth(recorded: Recorded) -> None:
    model = recorded_violet(recorded, form="open-word")
    states: list[Tensor] = []
    out = model.enc_img.swin(video_of(recorded), states)
    names = ["patch_embed", *(f"stage_{i}" for i in range(4))]
    for state, name in zip(states, names, strict=True):
        close(channels_first(state), recorded[f"output/swin_{name}"])
    close(channels_first(out), recorded["output/swin_out"])
    index = recorded["shared/relative_position_index"].long()
    assert torch.equal(relative_index((8, 3, 3)), index)


def test_a_swin_that_pads_and_cuts_windows(recorded: Recorded) -> None:
    """Published: a cut window reads other cells' biases; ours, by default, its own."""
    prefix = "swin2/state_dict/"
    weights = {k.removeprefix(prefix): v for k, v in recorded.items() if k.startswith(prefix)}
    two: dict[str, Any] = {"depths": (2, 2), "num_heads": (1, 2), "window": (2, 3, 3)}
    outs, first = [], []
    for exact in (False, True):
        swin = VideoSwin(SwinConfig(**{**SWIN, **two, "exact_windows": exact}))
        swin.load_state_dict(weights)
        states: list[Tensor] = []
        outs.append(channels_first(swin.eval()(recorded["swin2/input"].transpose(1, 2), states)))
        first.append(channels_first(states[1]))
    close(first[0], recorded["swin2/stage_0"])
    close(outs[0], recorded["swin2/output"])
    close(first[1], recorded["swin2/stage_0"])
    assert (outs[1] - outs[0]).abs().max() > 0.05


def text_logits(model: Violet, recorded: Recorded, frames: int = 4, **more: Any) -> Tensor:
    tokens = model.look(video_of(recorded)[:, :frames])
    return model.word_logits(
        model.fuse(tokens, recorded["input/txt"], recorded["input/mask"], **more)
    )


def test_words_at_every_depth(recorded: Recorded) -> None:
    model = recorded_violet(recorded, form="open-word")
    ids, mask = recorded["input/txt"], recorded["input/mask"]
    tokens = model.look(video_of(recorded))
    close(tokens, recorded["output/feat_img"])
    close(model.enc_txt(ids), recorded["output/feat_txt"])
    layers: list[Tensor] = []
    logits = model.word_logits(model.fuse(tokens, ids, mask, remember=layers))
    for i, layer in enumerate(layers, start=1):
        close(layer, recorded[f"output/trsfr_hidden_{i}"])
    close(logits, recorded["output/logits"])
    close(model.answer(model.look(video_of(recorded)), ids, mask), recorded["output/answer_logits"])
    labels = recorded["input/mask_ans"]
    loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-1)
    close(loss, recorded["output/loss"])
    loss.backward()
    for key in (k for k in recorded if k.startswith("grad/")):
        grad = model.get_parameter(key.removeprefix("grad/")).grad
        assert grad is not None
        close(grad, recorded[key], 1e-6)


def test_fewer_frames_a_prompt_and_a_task(recorded: Recorded) -> None:
    model = recorded_violet(recorded, form="open-word")
    for frames in (1, 2):
        logits = text_logits(model, recorded, frames)
        close(logits, recorded[f"output/logits_t{frames}"])
    prompt = recorded["input/prompt_txt"], recorded["input/prompt_mask"]
    close(text_logits(model, recorded, prompt=prompt), recorded["output/logits_prompt"])
    with_task = recorded_violet(recorded, form="open-word", task_token=2)
    close(text_logits(with_task, recorded), recorded["output/logits_task_token"])
    ids, mask = recorded["input/txt"], recorded["input/mask"]
    at_mask = recorded["output/logits_task_token"][:, 1:][ids == 3]
    close(with_task.answer(with_task.look(video_of(recorded)), ids, mask), at_mask)


def compare_gradients(model: Violet, recorded: Recorded, prefix: str) -> None:
    keys = [k for k in recorded if k.startswith(prefix)]
    assert keys
    for key in keys:
        grad = model.get_parameter(key.removeprefix(prefix)).grad
        assert grad is not None, key
        close(grad, recorded[key], 1e-6, 1e-4)


def test_answers_as_classes(recorded: Recorded, recorded_qa: Recorded) -> None:
    t = recorded_qa
    model = recorded_violet(recorded, head_of(t, "oe"))
    video, ids, mask = video_of(recorded), t["input/oe_txt"], t["input/oe_mask"]
    layers: list[Tensor] = []
    model.fuse(model.look(video), ids, mask, remember=layers)
    close(layers[-1], t["oe/fused"])
    close(layers[-1][:, 40], t["oe/fused_cls"])
    logits = model.answer(model.look(video), ids, mask)
    close(logits, t["oe/logits"])
    loss_B = answer_loss(logits, t["input/oe_answer"])
    close(loss_B, t["oe/loss_B"])
    close(loss_B.mean(), t["oe/loss"])
    known = t["input/oe_answer_unk"] >= 0
    unknown_left = answer_loss(logits[known], t["input/oe_answer_unk"][known])
    close(unknown_left.mean(), t["oe/loss_unk"])
    loss_B.mean().backward()
    compare_gradients(model, t, "oe/grad/")


def test_options_as_classes(recorded: Recorded, recorded_qa: Recorded) -> None:
    t = recorded_qa
    model = recorded_violet(recorded, head_of(t, "mc"), form="choice-class")
    logits = model.answer(model.look(video_of(recorded)), t["input/mc_txt"], t["input/mc_mask"])
    close(logits, t["mc/logits"])
    loss_B = answer_loss(logits, t["input/mc_answer"])
    close(loss_B, t["mc/loss_B"])
    loss_B.mean().backward()
    close(loss_B.mean(), t["mc/loss"])
    compare_gradients(model, t, "mc/grad/")


def test_options_as_true_or_false(recorded: Recorded, recorded_qa: Recorded) -> None:
    """The published score divides raw logits; only here is it known."""
    t = recorded_qa
    ids, mask = t["input/mc_mlm_txt"], t["input/mc_mlm_mask"]
    words = recorded_violet(recorded, form="open-word")
    each = video_of(recorded).repeat_interleave(3, dim=0)
    at_mask = words.answer(words.look(each), ids.flatten(0, 1), mask.flatten(0, 1))
    close(at_mask, t["mc_mlm/logits_at_mask"].flatten(0, 1))
    labels = t["input/mc_mlm_mask_ans"]
    close(F.cross_entropy(at_mask, labels[labels >= 0]), t["mc_mlm/loss"])
    true, false = at_mask[:, 5].reshape(2, 3), at_mask[:, 6].reshape(2, 3)
    ratio = t["mc_mlm/score_official_raw_logit_ratio"]
    close(true / (true + false), ratio, 0, 1e-3)
    assert not ((ratio >= 0) & (ratio <= 1)).all(), "the published score is not a probability"

    model = recorded_violet(recorded, form="choice-truth", word_ids=(5, 6))
    share = model.answer(model.look(video_of(recorded)), ids, mask).sigmoid()
    close(share, t["mc_mlm/score_softmax_true_vs_false"])


def test_options_by_their_digit(recorded: Recorded, recorded_qa: Recorded) -> None:
    t = recorded_qa
    ids, mask = t["input/mc_gen_txt"], t["input/mc_gen_mask"]
    named = recorded_violet(recorded, form="open-word")
    words = named.answer(named.look(video_of(recorded)), ids, mask)
    close(words, t["mc_gen/logits_at_mask"])
    labels = t["input/mc_gen_mask_ans"]
    close(F.cross_entropy(words, labels[labels >= 0]), t["mc_gen/loss"])
    model = recorded_violet(recorded, form="choice-index", word_ids=(7, 8, 9))
    close(model.answer(model.look(video_of(recorded)), ids, mask), t["mc_gen/answer_logits"])


def test_retrieval_by_fusion(recorded: Recorded, recorded_qa: Recorded) -> None:
    t = recorded_qa
    model = recorded_violet(recorded, head_of(t, "retrieval"), form="pair")
    video = video_of(recorded)
    video = torch.cat([video, video[:1].flip(1)])
    ids, mask = t["input/retrieval_txt"], t["input/retrieval_mask"]
    every = ids.expand(3, -1, -1), mask.expand(3, -1, -1)
    scores = model.answer(model.look(video), *every)
    close(scores, t["retrieval/scores"])
    both = F.cross_entropy(scores / 0.05, torch.arange(3)) + F.cross_entropy(
        scores.T / 0.05, torch.arange(3)
    )
    close(F.cross_entropy(scores / 0.05, torch.arange(3)), t["retrieval/loss_v1"], 1e-4)
    close(both, t["retrieval/loss_v2"], 2e-4)
    both.backward()
    compare_gradients_of_retrieval(model, t)
    clips = torch.stack([model.look(video), model.look(video.flip(1))], dim=1)
    close(model.answer(mean_of_clips(clips), *every), t["retrieval/scores_two_clips"])
    ranking = rank_by_fusion(model, model.look(video), ids, mask, shortlist=3)
    order = ranking.score_NV.T.flatten().argsort()
    assert torch.equal(order, t["retrieval/scores"].flatten().argsort())


def compare_gradients_of_retrieval(model: Violet, t: Recorded) -> None:
    for key in (k for k in t if k.startswith("retrieval/grad/")):
        grad = model.get_parameter(key.removeprefix("retrieval/grad/")).grad
        assert grad is not None
        scale = max(1.0, float(t[key].abs().max()))
        close(grad, t[key], 1e-5 * scale, 1e-4)


def test_the_recorded_meta_gradient(recorded: Recorded, recorded_qa: Recorded) -> None:
    t = recorded_qa
    model = recorded_violet(recorded, head_of(t, "oe")).double()
    video, ids, mask = video_of(recorded).double(), t["input/oe_txt"], t["input/oe_mask"]
    found = sgd_meta_gradient(
        model,
        train=((video, ids, mask), t["input/oe_answer"]),
        meta=((video.flip(1).flip(0), ids, mask), t["meta/label"]),
        theta=recorded_theta(t),
        lr=0.01,
        by_sum=True,
    )
    close(found.loss_B, t["meta/loss_B"], 1e-9)
    close(found.weight_B, t["meta/weights"], 1e-9)
    close(found.meta_loss, t["meta/meta_loss"], 1e-9)
    close(found.s_B, t["meta/s"], 1e-9)
    for name, grad in found.theta.items():
        close(grad, t[f"meta/grad_theta/{name}"], 1e-9)
