"""The step `regions`: what boxes and vectors are of, its accounting, and its way to the shards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from mama_augment.balance.config import BalanceStep
from mama_augment.balance.keep.settings import BalanceConfig
from mama_augment.balance.step import Balance
from mama_augment.cli.running import RunConfig, run_step
from mama_augment.core.errors import InputError
from mama_augment.core.shares import Share
from mama_augment.core.store.audit import audit
from mama_augment.core.store.step_dir import StepDir
from mama_augment.keyframes.config import KeyFramesStep, WorkConfig
from mama_augment.keyframes.step import KeyFrames
from mama_augment.people.validate import validate
from mama_augment.regions.base import Found, best, iou
from mama_augment.regions.config import RegionsConfig
from mama_augment.regions.step import RegionsStep
from mama_augment.regions.tokens import in_box
from mama_augment.runtime import RuntimeConfig
from mama_augment.shapes.plain.config import PlainConfig
from mama_augment.shapes.questions.make import make_questions_world, scene_of
from mama_augment.shapes.world.render import COLOUR_RGB

WORLD = PlainConfig(num_train=6, num_meta=2, num_val=0, num_test=2, noise_rate=0.0)
ONE = RuntimeConfig(num_workers=1)
C, F, R = 3, 2, 4


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clips")
    made = make_questions_world(root / "world", WORLD, num_workers=1)
    step = KeyFramesStep(work=WorkConfig(clips_per_unit=3))
    run_step(KeyFrames.of(str(made.manifest), step), str(root / "clips"), ONE)
    return root / "clips"


def config(**more: Any) -> RegionsConfig:
    return RegionsConfig(**{"num_clips": C, "num_frames": F, "num_regions": R, **more})


def rows(path: Path) -> list[dict[str, Any]]:
    return [row for table in StepDir.open(str(path)).tables() for row in table.to_pylist()]


def arrays(row: dict[str, Any]) -> dict[str, np.ndarray]:
    told = row["regions"]
    num = (told["num_clips"] * told["num_frames"], told["num_regions"])
    return {
        "boxes": np.array(told["boxes"]).reshape(*num, 4),
        "is_region": np.array(told["is_region"]).reshape(num),
        "vectors": np.array(told["vectors"], np.float32).reshape(*num, -1),
        "frames": np.array(told["frame_vectors"], np.float32).reshape(num[0], -1),
    }


def test_true_regions_are_those_of_the_times_of_the_frames(clips: Path, tmp_path: Path) -> None:
    outcome = run_step(RegionsStep(str(clips), config(model="truth")), str(tmp_path / "r"), ONE)
    assert outcome.exit_code == 0
    told = {row["clip_id"]: row for row in rows(clips)}
    for row in rows(tmp_path / "r"):
        split, number = row["clip_id"].split("-")
        asked = scene_of(WORLD, split, int(number))
        found, truth = arrays(row), told[row["clip_id"]]["true_regions"]
        assert len(row["frame_seconds"]) == C * F
        assert row["frame_seconds"] == sorted(row["frame_seconds"])
        # The whole clip is covered, evenly.
        gaps = np.diff(row["frame_seconds"])
        assert gaps.max() < 2 * gaps.min()
        assert found["is_region"].sum(1).tolist() == [1 + asked.num_dots] * (C * F)
        for i, seconds in enumerate(row["frame_seconds"]):
            (now,) = (t for t in truth if abs(t["seconds"] - seconds) < 1e-3)
            for k, region in enumerate(now["regions"]):
                wanted = [region[name] for name in ("x1", "y1", "x2", "y2")]
                np.testing.assert_allclose(found["boxes"][i, k], wanted, atol=1e-6)
                assert row["labels"][i * R + k] == region["label"]
            # The middle of the shape's vector is its colour; holes are zero.
            middle = found["vectors"][i, 0].reshape(6, 6, 3)[2:4, 2:4].mean((0, 1))
            colour = np.array(COLOUR_RGB[asked.scene.colour]) / 127.5 - 1
            if asked.num_dots == 0:
                assert np.abs(middle - colour).max() < 0.45
            assert not found["vectors"][i][~found["is_region"][i]].any()


def test_the_accounting_and_the_way_to_the_shards(clips: Path, tmp_path: Path) -> None:
    """By two shares; killed in between, as it were; and what balance makes of it."""
    step = RegionsStep(str(clips), config(model="truth"))
    for i in (1, 2):
        run_step(step, str(tmp_path / "shares"), ONE, RunConfig(share=Share.parse(f"{i}/2")))
    run_step(step, str(tmp_path / "whole"), ONE)
    assert rows(tmp_path / "shares") == rows(tmp_path / "whole")
    ledger = audit(StepDir.open(str(tmp_path / "shares")), deep=True)
    assert (ledger.num_in, ledger.num_ok, ledger.problems) == (10, 10, ())
    again = run_step(step, str(tmp_path / "whole"), ONE)
    assert again.num_done == 0
    with pytest.raises(InputError, match="num_regions"):
        run_step(
            RegionsStep(str(clips), config(model="truth", num_regions=3)),
            str(tmp_path / "whole"),
            ONE,
        )
    how = BalanceStep(regions=str(tmp_path / "whole"), balance=BalanceConfig(keep_share=1.0))
    run_step(Balance(str(clips), (), how), str(tmp_path / "shards"), ONE)
    given = {row["clip_id"]: row["regions"] for row in rows(tmp_path / "whole")}
    made = rows(tmp_path / "shards")
    assert len(made) == 10
    assert all(row["regions"] == given[row["clip_id"]] for row in made)
    assert not validate(str(tmp_path / "shards")).problems


def test_a_lost_video_costs_itself_and_is_tried_again(tmp_path: Path) -> None:
    made = make_questions_world(tmp_path / "world", WORLD, num_workers=1)
    run_step(KeyFrames.of(str(made.manifest)), str(tmp_path / "clips"), ONE)
    gone = tmp_path / "world/videos/train-00002.mp4"
    content = gone.read_bytes()
    gone.unlink()
    step = RegionsStep(str(tmp_path / "clips"), config(model="truth"))
    outcome = run_step(step, str(tmp_path / "r"), ONE)
    assert (outcome.ledger.num_ok, outcome.ledger.num_failed) == (9, 1)
    before = rows(tmp_path / "r")
    how = BalanceStep(regions=str(tmp_path / "r"), balance=BalanceConfig(keep_share=1.0))
    run_step(Balance(str(tmp_path / "clips"), (), how), str(tmp_path / "shards"), ONE)
    (without,) = (row for row in rows(tmp_path / "shards") if row["regions"] is None)
    assert without["clip_id"] == "train-00002"
    warnings = json.loads((tmp_path / "shards/stats.json").read_text())["warnings"]
    assert any("1 clips have no regions" in told for told in warnings)
    gone.write_bytes(content)
    outcome = run_step(step, str(tmp_path / "r"), ONE, RunConfig(retry_failed=True))
    assert (outcome.ledger.num_ok, outcome.ledger.num_failed) == (10, 0)
    now = {row["clip_id"]: row for row in rows(tmp_path / "r")}
    assert all(now[row["clip_id"]] == row for row in before)


def test_clips_that_grow_are_continued(tmp_path: Path) -> None:
    made = make_questions_world(tmp_path / "world", WORLD, num_workers=1)
    table = pq.read_table(made.manifest)
    pq.write_table(table.slice(0, 4), made.manifest)
    run_step(KeyFrames.of(str(made.manifest)), str(tmp_path / "clips"), ONE)
    step = RegionsStep(str(tmp_path / "clips"), config(model="truth"))
    assert run_step(step, str(tmp_path / "r"), ONE).num_done == 4
    pq.write_table(table, made.manifest)
    run_step(KeyFrames.of(str(made.manifest)), str(tmp_path / "clips"), ONE)
    outcome = run_step(step, str(tmp_path / "r"), ONE)
    assert (outcome.num_done, outcome.ledger.num_ok) == (6, 10)
    run_step(step, str(tmp_path / "fresh"), ONE)

    def by_id(path: Path) -> dict[str, dict[str, Any]]:
        return {row["clip_id"]: row for row in rows(path)}

    assert by_id(tmp_path / "r") == by_id(tmp_path / "fresh")


def test_grid_cells_are_those_that_differ_most(clips: Path, tmp_path: Path) -> None:
    run_step(RegionsStep(str(clips), config()), str(tmp_path / "r"), ONE)
    for row in rows(tmp_path / "r"):
        found = arrays(row)
        assert found["is_region"].all()
        sides = found["boxes"][..., 2:] - found["boxes"][..., :2]
        np.testing.assert_allclose(sides, 1 / 7, atol=1e-6)
        scores = np.array(row["regions"]["scores"]).reshape(C * F, R)
        assert (np.diff(scores, axis=1) <= 0).all()


def test_boxes_that_share_too_much_leave() -> None:
    boxes = np.array([[0, 0, 1, 1], [0, 0, 1, 0.9], [0.5, 0.5, 1, 1]], np.float32)
    found = Found(boxes_N4=boxes, scores_N=np.array([0.9, 0.8, 0.1], np.float32), labels="abc")
    assert iou(boxes[0], boxes[1]) == pytest.approx(0.9)
    assert best(found, 3, overlap=0.7, least_score=0.0).labels == ["a", "c"]
    assert best(found, 3, overlap=1.0, least_score=0.5).labels == ["a", "b"]
    assert best(found, 1, overlap=0.7, least_score=0.0).labels == ["a"]


def test_tokens_of_a_box_are_weighed_by_what_it_covers() -> None:
    grid = np.arange(16, dtype=np.float32).reshape(4, 4, 1)
    assert in_box(grid, np.array([0, 0, 1, 1], np.float32))[0] == pytest.approx(7.5, abs=1e-4)
    assert in_box(grid, np.array([0.25, 0.5, 0.5, 0.75], np.float32))[0] == pytest.approx(
        9, abs=1e-4
    )
    # Three quarters of cell 0 and one quarter of cell 1.
    box = np.array([0.0625, 0, 0.3125, 0.25], np.float32)
    assert in_box(grid, box)[0] == pytest.approx(0.25, abs=1e-4)


def tiny_detector(folder: Path) -> Path:
    from transformers import DFineConfig, DFineForObjectDetection

    torch.manual_seed(0)
    sizes = {
        "encoder_hidden_dim": 16,
        "encoder_ffn_dim": 16,
        "d_model": 16,
        "decoder_ffn_dim": 16,
        "num_queries": 9,
        "decoder_layers": 2,
        "decoder_attention_heads": 2,
        "encoder_attention_heads": 2,
        "num_denoising": 0,
    }
    backbone = {
        "model_type": "hgnet_v2",
        "stem_channels": [3, 8, 8],
        "hidden_sizes": [8, 8, 8, 8],
        "embedding_size": 8,
        "stage_in_channels": [8, 8, 8, 8],
        "stage_mid_channels": [8, 8, 8, 8],
        "stage_out_channels": [8, 8, 8, 8],
        "stage_num_blocks": [1, 1, 1, 1],
        "stage_downsample": [False, True, True, True],
        "stage_light_block": [False, False, True, True],
        "stage_kernel_size": [3, 3, 3, 3],
        "stage_numb_of_layers": [1, 1, 1, 1],
        "out_features": ["stage2", "stage3", "stage4"],
    }
    made = DFineConfig(
        backbone_config=backbone,
        encoder_in_channels=[8, 8, 8],
        decoder_in_channels=[16, 16, 16],
        num_labels=5,
        **sizes,
    )
    DFineForObjectDetection(made).save_pretrained(folder)
    content = {"size": {"height": 64, "width": 64}, "do_normalize": False}
    (folder / "preprocessor_config.json").write_text(json.dumps(content))
    return folder


def tiny_encoder(folder: Path) -> Path:
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    sizes = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2}
    Dinov2Model(Dinov2Config(**sizes, image_size=28, patch_size=4)).save_pretrained(folder)
    return folder


def test_a_detector_and_an_encoder_of_transformers(clips: Path, tmp_path: Path) -> None:
    """Weights are random; what is stored is what the models themselves say of the frame."""
    from transformers import AutoModel, AutoModelForObjectDetection

    detector, encoder = tiny_detector(tmp_path / "dfine"), tiny_encoder(tmp_path / "dino")
    own = config(model=str(detector))
    both = config(model=str(detector), vectors=str(encoder))
    for name, chosen in (("own", own), ("both", both)):
        run_step(RegionsStep(str(clips), chosen), str(tmp_path / name), ONE)
    first, other = rows(tmp_path / "own")[0], rows(tmp_path / "both")[0]
    assert first["regions"]["extractor"] == "dfine+detector"
    assert other["regions"]["extractor"] == "dfine+dino"
    assert first["regions"]["boxes"] == other["regions"]["boxes"]
    assert arrays(first)["vectors"].shape == (C * F, R, 16)
    assert arrays(other)["vectors"].shape == (C * F, R, 12)
    frame = frames_of(clips, first)[0]
    small = cv2.resize(frame, (64, 64)) / 255
    pixels = torch.from_numpy(small.astype(np.float32)).permute(2, 0, 1)[None]
    model = AutoModelForObjectDetection.from_pretrained(detector).eval()
    with torch.no_grad():
        out = model(pixel_values=pixels)
    scores = out.logits[0].sigmoid().amax(-1)
    found = arrays(first)
    assert first["regions"]["scores"][0] == pytest.approx(float(scores.max()), abs=1e-3)
    x, y, w, h = out.pred_boxes[0, int(scores.argmax())].tolist()
    wanted = np.clip([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 0, 1)
    np.testing.assert_allclose(found["boxes"][0, 0], wanted, atol=2e-3)
    encoder_model = AutoModel.from_pretrained(encoder).eval()
    small = cv2.resize(frame, (64, 64)) / 255
    with torch.no_grad():
        pixels = torch.from_numpy(small.astype(np.float32)).permute(2, 0, 1)[None]
        tokens = encoder_model(pixel_values=pixels).last_hidden_state[0, 1:]
    np.testing.assert_allclose(arrays(other)["frames"][0], tokens.mean(0), atol=5e-3)


def frames_of(clips: Path, row: dict[str, Any]) -> list[np.ndarray]:
    """Decoded as the step does it."""
    from mama_augment.core.shared.jpeg import decode_jpeg
    from mama_augment.decode.config import Span
    from mama_augment.keyframes.extract import extract_clip

    found = extract_clip(row["video_uri"], Span(), config().clip_config())
    return [decode_jpeg(jpeg) for jpeg in found.frames]


def test_published_features_are_read_from_hdf5_and_npz(clips: Path, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(0)
    ids = [row["clip_id"] for row in rows(clips)]
    feat = rng.normal(size=(len(ids), 8, 4, 20, 6)).astype(np.float32)
    bbox = rng.uniform(0, 90, size=(len(ids), 8, 4, 20, 4)).astype(np.float32)
    frame = rng.normal(size=(len(ids), 8, 4, 6)).astype(np.float32)
    folder = tmp_path / "butd"
    folder.mkdir()
    with h5py.File(folder / "acregion_8c20b_train.h5", "w") as file:
        file["ids"] = np.array(ids[:-2], "S20")
        file["feat"], file["bbox"] = feat[:-2], bbox[:-2]
    with h5py.File(folder / "app_feat_train.h5", "w") as file:
        file["ids"], file["resnet_features"] = np.array(ids[:-1], "S20"), frame[:-1]
    np.savez(folder / f"{ids[-2]}.npz", feat=feat[-2], bbox=bbox[-2])
    chosen = config(model=f"butd:{folder}", num_regions=5)
    outcome = run_step(RegionsStep(str(clips), chosen), str(tmp_path / "r"), ONE)
    assert (outcome.ledger.num_ok, outcome.ledger.num_rejected) == (len(ids) - 1, 1)
    by_id = {row["clip_id"]: row for row in rows(tmp_path / "r")}
    size = np.array([96, 128, 96, 128])
    for i, clip_id in enumerate(ids[:-1]):
        told = by_id[clip_id]["regions"]
        assert (told["extractor"], told["num_clips"], told["num_regions"]) == ("butd", 8, 5)
        found = arrays(by_id[clip_id])
        wanted = feat[i, :, :, :5].reshape(32, 5, 6)
        np.testing.assert_allclose(found["vectors"], wanted, rtol=1e-3, atol=1e-3)
        boxes = (bbox[i, :, :, :5] / size).reshape(32, 5, 4)
        np.testing.assert_allclose(found["boxes"], boxes, rtol=1e-5)
        np.testing.assert_allclose(found["frames"], frame[i].reshape(32, 6), rtol=1e-3, atol=1e-3)


def test_settings_that_cannot_be() -> None:
    with pytest.raises(InputError, match="--vectors detector, but --model grid"):
        RegionsConfig(model="grid", vectors="detector")
    with pytest.raises(InputError, match="--overlap is 0"):
        RegionsConfig(overlap=0)
