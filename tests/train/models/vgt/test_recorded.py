"""VGT: what the published model was recorded to compute, at every depth."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mama_train.models.vgt.config import Regions, box_features
from mama_train.models.vgt.layers import sinusoids
from mama_train.models.vgt.linking import link_regions
from mama_train.models.vgt.model import Vgt
from tests.train.models.crossmodal.meta import answer_loss, recorded_theta, sgd_meta_gradient
from tests.train.models.vgt.conftest import recorded_regions, recorded_vgt

Recorded = dict[str, Tensor]
DEPTH = 1e-5
VIDEO = (
    "object_feat",
    "ttrans_out",
    "graph_adj_raw",
    "graph_adj_trans",
    "graph_adj_softmax",
    "gcn_skip_out",
    "region_attention",
    "merge_out",
    "frame_norm",
)
AFTER_TEXT = ("position_v", "mmt_out", "video_feat")


def close(actual: Tensor, expected: Tensor, atol: float = DEPTH, rtol: float = 0.0) -> None:
    """Numbers alone: recordings flatten leading dimensions in their own ways."""
    actual = actual.detach().reshape(expected.shape)
    torch.testing.assert_close(actual, expected, atol=atol, rtol=rtol)


def options(t: Recorded) -> tuple[Tensor, Tensor]:
    ids = t["input/mc_answer"]
    return ids, (ids > 0).long()


def test_a_question_with_options_at_every_depth(recorded: Recorded) -> None:
    model, (ids, mask) = recorded_vgt(recorded), options(recorded)
    seen: Recorded = {}
    layers: list[Tensor] = []
    for layer in model.video_tokens.gnn.layers:
        layer.register_forward_hook(lambda _m, _i, out: layers.append(out))
    scores = model.option_logits(recorded_regions(recorded), ids, mask, seen)
    for name in (*VIDEO, *AFTER_TEXT):
        close(seen[name], recorded[f"mc/{name}"])
    for i, layer_out in enumerate(layers):
        close(layer_out, recorded[f"mc/gcn_layer{i}_preact"])
    close(seen["clip_text_in"], recorded["mc/cm0_in"])
    close(seen["clip_text_attention"], recorded["mc/cm0_attention"])
    close(seen["clip_text_out"], recorded["mc/cm0_out"])
    close(scores, recorded["mc/scores"])
    close(answer_loss(scores, recorded["input/mc_label"]).mean(), recorded["mc/loss"])


def test_boxes_and_words(recorded: Recorded) -> None:
    model, (ids, mask) = recorded_vgt(recorded), options(recorded)
    regions = recorded_regions(recorded)
    made = box_features(
        recorded["input/boxes_xyxy"], recorded["input/width_height"][:, None, None, None].float()
    )
    close(made, recorded["input/box_feat"], 1e-6)
    encoder = model.video_tokens.encode_vid
    box = encoder.bbox_conv(regions.box_BCFR5.permute(0, 4, 1, 2, 3).flatten(2, 3))
    close(box, recorded["mc/bbox_conv"])
    flat = ids.flatten(0, 1), mask.flatten(0, 1)
    close(model.text.bert(*flat), recorded["mc/bert_last_hidden"])
    close(model.text(*flat), recorded["mc/answer_words"])
    pooled = model.pool(model.text(*flat), flat[1]).unflatten(0, ids.shape[:2])
    close(pooled, recorded["mc/answer_global"])
    close(sinusoids(28, like=torch.zeros(1, 32)), recorded[TABLE], 1e-6)


TABLE = "state_dict/position_v.position_embeddings.weight"


def test_frames_that_words_meet_too(recorded: Recorded) -> None:
    model = recorded_vgt(recorded, frame_level_text=True)
    seen: Recorded = {}
    scores = model.option_logits(recorded_regions(recorded), *options(recorded), seen)
    for i, name in enumerate(("frame_text", "clip_text")):
        for end in ("in", "attention", "out"):
            close(seen[f"{name}_{end}"], recorded[f"mc_action/cm{i}_{end}"])
    for name in AFTER_TEXT:
        close(seen[name], recorded[f"mc_action/{name}"])
    close(scores, recorded["mc_action/scores"])


def test_an_open_question_at_every_depth(recorded: Recorded) -> None:
    model = recorded_vgt(recorded)
    answers, question = recorded["input/oe_answer_vocab"], recorded["input/oe_question"]
    model.set_answers(answers, (answers > 0).long())
    mask = (question > 0).long()
    seen: Recorded = {}
    scores = model.open_logits(recorded_regions(recorded), question, mask, seen)
    for name in AFTER_TEXT:
        close(seen[name], recorded[f"oe/{name}"])
    padding = (0, 20 - question.shape[1])
    close(F.pad(seen["clip_text_attention"], padding), recorded["oe/cm0_attention"])
    close(seen["clip_text_out"], recorded["oe/cm0_out"])
    close(model.text(question, mask), recorded["oe/question_words"])
    close(model.pool(model.text(question, mask), mask), recorded["oe/question_global"])
    close(model.embed_answers(answers, (answers > 0).long()), recorded["oe/answer_global"])
    close(scores, recorded["oe/scores"], 1e-4, 2e-6)  # of numbers up to 318
    loss_B = F.cross_entropy(scores, recorded["input/oe_label"], reduction="none", ignore_index=-1)
    close(loss_B, recorded["oe/loss_B"], 1e-4, 2e-6)


def test_masked_words(recorded: Recorded) -> None:
    model, ids = recorded_vgt(recorded), recorded["mlm/input"]
    logits = model.word_logits(model.text(ids, (ids > 0).long()))
    loss = F.cross_entropy(logits.flatten(0, 1), recorded["mlm/labels"].flatten())
    close(loss, recorded["mlm/loss"])


def test_gradients_on_batch_statistics(recorded: Recorded) -> None:
    model = recorded_vgt(recorded).train()
    scores = model.option_logits(recorded_regions(recorded), *options(recorded))
    loss_B = answer_loss(scores, recorded["input/mc_label"])
    close(scores, recorded["mc_train/scores"])
    close(loss_B, recorded["mc_train/loss_B"])
    loss_B.mean().backward()
    compare_gradients(model, recorded, "mc_train/grad/")
    moved = [k for k in recorded if k.startswith("mc_train/after/")]
    assert len(moved) == 4
    for key in moved:
        name = key.removeprefix("mc_train/after/")
        close(model.get_buffer(f"video_tokens.{name}"), recorded[key], 1e-6)


def test_gradients_through_the_vocabulary(recorded: Recorded) -> None:
    model = recorded_vgt(recorded).train()
    answers, question = recorded["input/oe_answer_vocab"], recorded["input/oe_question"]
    model.set_answers(answers, (answers > 0).long())
    scores = model.open_logits(recorded_regions(recorded), question, (question > 0).long())
    close(scores, recorded["oe_train/scores"], 2e-4, 2e-6)
    labels = recorded["input/oe_label"]
    F.cross_entropy(scores, labels, ignore_index=-1).backward()
    compare_gradients(model, recorded, "oe_train/grad/")


def compare_gradients(model: Vgt, recorded: Recorded, prefix: str) -> None:
    from mama_train.models.vgt.published import VGT_KEYS

    keys = [k for k in recorded if k.startswith(prefix)]
    assert keys
    for key in keys:
        (name,) = VGT_KEYS.ours({key.removeprefix(prefix): recorded[key]})
        grad = model.get_parameter(name).grad
        assert grad is not None, name
        scale = float(recorded[key].abs().max())
        close(grad, recorded[key], 1e-6 * max(1.0, scale), 1e-4)


@pytest.mark.parametrize("kind", ["sum", "B"])
def test_the_recorded_meta_gradient(recorded: Recorded, kind: str) -> None:
    model = recorded_vgt(recorded).double().train()
    ids, mask = options(recorded)
    regions = Regions(*(x.double() for x in recorded_regions(recorded)[:3]))
    back = Regions(*(x.flip(1).flip(0) for x in regions[:3]))
    found = sgd_meta_gradient(
        model,
        train=((regions, ids, mask), recorded["input/mc_label"]),
        meta=((back, ids, mask), recorded["meta/label"]),
        theta=recorded_theta(recorded),
        lr=0.05,
        by_sum=kind == "sum",
    )
    close(found.loss_B, recorded["meta/loss_B"], 1e-9)
    close(found.weight_B, recorded[f"meta_{kind}/weights"], 1e-9)
    close(found.meta_loss, recorded[f"meta_{kind}/meta_loss"], 1e-9)
    close(found.s_B, recorded[f"meta_{kind}/s"], 1e-9)
    for name, grad in found.theta.items():
        close(grad, recorded[f"meta_{kind}/grad_theta/{name}"], 1e-9)


def test_linking(recorded: Recorded) -> None:
    """The published one with its fault; ours finds all of the true tracks."""
    for clip in range(3):
        boxes, feats = recorded["align/boxes"][clip], recorded["align/feats"][clip]
        published = link_regions(boxes, feats, linking="published")
        assert torch.equal(published, recorded["align/paths_official"][clip])
        assert torch.equal(link_regions(boxes, feats), recorded["align/true_paths"][clip])
    shared = recorded["align/paths_official"]
    assert (shared.sort(1).values.diff(dim=1) == 0).any(), "the fault is in the recording"


def test_one_alone_scores_otherwise_only_as_published(recorded: Recorded) -> None:
    ids, mask = options(recorded)
    length = int(recorded["input/mc_seq_len"][1].max())
    regions = recorded_regions(recorded)
    one = Regions(*(x[1:2] for x in regions[:3]))
    for pooling, row in (("padded", "mc_alone/scores"), ("masked", None)):
        model = recorded_vgt(recorded, text_pooling=pooling)
        alone = model.option_logits(one, ids[1:2, :, :length], mask[1:2, :, :length])
        in_batch = model.option_logits(regions, ids, mask)[1:2]
        if row is not None:
            close(alone, recorded[row])
            assert (alone - in_batch).abs().max() > 1
        else:
            close(alone, in_batch.detach())
