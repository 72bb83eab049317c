"""CLIP-ViP: parity with recorded outputs of the published model, and its defining properties."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from mama_train.models.clip_vip import ClipVip, ClipVipConfig
from mama_train.models.weights import load_weights
from tests.train.conftest import tiny_config, tiny_model


@pytest.fixture(scope="module")
def golden(shared_dir: Path) -> tuple[ClipVip, dict[str, Tensor]]:
    folder = shared_dir / "golden"
    if not (folder / "clip_vip.safetensors").is_file():
        pytest.skip("no recorded CLIP-ViP outputs")
    tensors = load_file(folder / "clip_vip.safetensors")
    config = json.loads((folder / "clip_vip.json").read_text())["config"]
    model = ClipVip(ClipVipConfig.from_json(config))
    prefix = "state_dict/"
    weights = {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
    assert load_weights(model, weights, source="golden") == []
    return model, tensors


def close(actual: Tensor, expected: Tensor, atol: float, rtol: float = 0.0) -> None:
    torch.testing.assert_close(actual, expected, atol=atol, rtol=rtol)


def test_golden_vision(golden: Any) -> None:
    model, t = golden
    states: list[Tensor] = []
    with torch.no_grad():
        last, pooled = model.vision_model(t["input/video"], remember=states)
        raw = model.vision_model.embeddings(t["input/video"])
        close(raw, t["output/vision_embeddings_raw"], 2e-5)
        for i, state in enumerate(states):
            close(state, t[f"output/vision_hidden_state_{i}"], 2e-5)
        close(last, t["output/vision_last_hidden_state"], 2e-5)
        close(pooled, t["output/vision_pooler_output"], 2e-5)
        close(model.visual_projection(pooled), t["output/video_projected"], 2e-5)
        close(model.embed_video(t["input/video"]), t["output/video_embeds"], 2e-6)


def test_golden_other_frame_counts(golden: Any) -> None:
    model, t = golden
    clips = {"t6": t["input/video_t6"], "t2": t["input/video"][:, :2], "t1": t["input/image_t1"]}
    with torch.no_grad():
        for name, clip in clips.items():
            close(model.embed_video(clip), t[f"output/video_embeds_{name}"], 2e-6)
            close(model.vision_model(clip)[0], t[f"output/vision_last_hidden_state_{name}"], 2e-5)
            embed = model.vision_model.embeddings.time_embed(clip.shape[1])
            close(embed, t[f"output/time_embed_{name}"], 2e-6)


def test_golden_text(golden: Any) -> None:
    model, t = golden
    ids, mask = t["input/input_ids"], t["input/attention_mask"]
    states: list[Tensor] = []
    with torch.no_grad():
        last, pooled = model.text_model(ids, mask, remember=states)
        for i, state in enumerate(states):
            close(state, t[f"output/text_hidden_state_{i}"], 2e-5)
        close(last, t["output/text_last_hidden_state"], 2e-5)
        close(pooled, t["output/text_pooler_output"], 2e-5)
        close(model.embed_text(ids, mask), t["output/text_embeds"], 2e-6)
        close(model.text_model(ids, None)[0], t["output/text_last_hidden_state_no_mask"], 2e-5)
        hole = t["input/attention_mask_hole"]
        close(model.embed_text(ids, hole), t["output/text_embeds_mask_hole"], 2e-6)
        expected = t["output/text_last_hidden_state_mask_hole"]
        close(model.text_model(ids, hole)[0], expected, 2e-5)


def test_golden_logits_and_gradients(golden: Any) -> None:
    model, t = golden
    video, text = model(t["input/video"], t["input/input_ids"], t["input/attention_mask"])
    close((model.logit_scale.exp() * text @ video.T).detach(), t["output/logits_per_text"], 2e-4)
    objective = (video @ text.T).sum()
    close(objective.detach(), t["grad/objective"], 2e-5)
    objective.backward()
    recorded = [k for k in t if k.startswith("grad/clipmodel.")]
    assert recorded
    for key in recorded:
        parameter = model.get_parameter(key.removeprefix("grad/clipmodel."))
        assert parameter.grad is not None
        close(parameter.grad, t[key], 1e-6, 1e-5)


@settings(max_examples=10, deadline=None)
@given(num_frames=st.integers(2, 5), frame=st.integers(0, 4), layer=st.integers(0, 1))
def test_patches_attend_to_proxies_and_their_own_frame_only(
    num_frames: int, frame: int, layer: int
) -> None:
    frame %= num_frames
    model = tiny_model()
    m, patches = model.config.num_proxies, 4
    block = model.vision_model.encoder.layers[layer]
    x = torch.randn(1, m + num_frames * patches, 16, dtype=torch.float64, requires_grad=True)
    out = block(x, None, (m, num_frames))
    own = slice(m + frame * patches, m + (frame + 1) * patches)
    (reach,) = torch.autograd.grad(out[:, own].abs().sum(), x, retain_graph=True)
    seen = reach[0].abs().sum(-1) > 0
    expected = torch.zeros_like(seen)
    expected[:m] = True
    expected[own] = True
    assert torch.equal(seen, expected)
    (reach,) = torch.autograd.grad(out[:, 0].abs().sum(), x)
    assert (reach[0].abs().sum(-1) > 0).all()


def test_proxies_are_an_unordered_set() -> None:
    model = tiny_model(num_added_cls=3)
    clip = torch.randn(2, 3, 3, 16, 16, dtype=torch.float64)
    before = model.embed_video(clip)
    with torch.no_grad():
        added = model.vision_model.embeddings.added_cls
        added.copy_(added[[2, 0, 1]].clone())
    torch.testing.assert_close(model.embed_video(clip), before, atol=1e-12, rtol=0)


def test_order_of_frames_matters_only_through_the_temporal_table() -> None:
    model = tiny_model()
    clip = torch.randn(2, 3, 3, 16, 16, dtype=torch.float64)
    assert (model.embed_video(clip) - model.embed_video(clip.flip(1))).abs().max() > 1e-6
    with torch.no_grad():
        model.vision_model.embeddings.temporal_embedding.zero_()
    same = model.embed_video(clip.flip(1))
    torch.testing.assert_close(model.embed_video(clip), same, atol=1e-12, rtol=0)


def test_temporal_table_is_resampled_at_half_pixel_centres() -> None:
    embeddings = tiny_model().vision_model.embeddings
    table = embeddings.temporal_embedding
    torch.testing.assert_close(embeddings.time_embed(1), table[:, 1:2])
    actual = embeddings.time_embed(6)[0, [0, 1]]

    expected = torch.stack([table[0, 0], torch.lerp(table[0, 0], table[0, 1], 0.25)])
    torch.testing.assert_close(actual, expected)


def test_plain_clip_weights_leave_exactly_the_video_parts_new() -> None:
    model = ClipVip(tiny_config())
    state = {k: v for k, v in model.state_dict().items() if "added_cls" not in k}
    del state["vision_model.embeddings.temporal_embedding"]
    assert load_weights(model, state, source="plain CLIP") == [
        "vision_model.embeddings.added_cls",
        "vision_model.embeddings.temporal_embedding",
    ]


def test_other_differences_are_an_error_that_names_them() -> None:
    model = ClipVip(tiny_config())
    state = model.state_dict()
    del state["visual_projection.weight"]
    state["visual_projektion.weight"] = torch.zeros(1)
    state["text_projection.weight"] = torch.zeros(3, 3)
    with pytest.raises(ValueError) as error:
        load_weights(model, state, source="broken")
    for name in ("visual_projection.weight", "visual_projektion.weight", "text_projection.weight"):
        assert name in str(error.value)


def test_no_rows_give_no_embeddings_and_gradients_of_zero() -> None:
    """What a process does whose share of a small batch is nothing."""
    model = tiny_model()
    nothing = torch.zeros(0, 8, dtype=torch.int64)
    video = model.embed_video(torch.zeros(0, 3, 3, 16, 16, dtype=torch.float64))
    text = model.embed_text(nothing, nothing)
    assert video.shape == text.shape == (0, 12)
    parameters = [p for n, p in model.named_parameters() if n != "logit_scale"]
    for grad in torch.autograd.grad([video.sum(), text.sum()], parameters, allow_unused=True):
        assert grad is None or not grad.any()
