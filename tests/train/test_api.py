"""`from mama_train import …`: what an outsider needs, and nothing before it is needed."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import mama_train
from tests.train.shards_helper import write_shards


def test_importing_the_package_is_quick_and_needs_no_torch() -> None:
    code = (
        "import sys, time; start = time.perf_counter(); import mama_train; "
        "print(time.perf_counter() - start < 0.1, 'torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.split() == ["True", "False"], result.stderr


def test_every_name_is_its_owners_and_known_to_type_checkers() -> None:
    tree = ast.parse(inspect.getsource(mama_train))
    typed = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in typed.body if isinstance(node, ast.ImportFrom)]
    owners = {alias.name: node.module for node in imports for alias in node.names}
    assert {"__version__", *owners} == set(dir(mama_train)) == set(mama_train.__all__)
    for name, owner in owners.items():
        assert getattr(mama_train, name) is getattr(sys.modules[str(owner)], name), name
    with pytest.raises(AttributeError, match="no attribute 'Trainer'"):
        _ = mama_train.Trainer  # type: ignore[attr-defined]


def test_a_training_and_its_evaluation_in_a_few_lines(tmp_path: Path) -> None:
    shards = str(write_shards(tmp_path / "shards", {"train": 8, "meta": 4, "test": 4}))

    from mama_train import TrainConfig, evaluate, load_model, open_split, read_concepts, train

    config = TrainConfig.of(shards=shards, out=str(tmp_path / "run"), steps=2, batch_size=4)
    result = train(config)
    model, tokenizer = load_model(result.out)
    clips = open_split(shards, "test", model.frame_spec, tokenizer)
    assert evaluate(model.eval(), clips, read_concepts(shards)) == result.metrics["test"]
    with pytest.raises(ValueError, match="holds no val split; allowed: train, meta, val, test"):
        open_split(shards, "val", model.frame_spec, tokenizer)


def test_the_loss_and_the_meta_step_stand_alone() -> None:
    from mama_train import MarginLoss, Weigher, Weighting, WeightNet

    torch.manual_seed(0)
    video, text = (torch.nn.functional.normalize(torch.randn(4, 8), dim=1) for _ in range(2))
    loss_B = MarginLoss(margin=0.1)(video, text, torch.tensor(2.0))
    weight_B = Weigher(weighting=Weighting(), net=WeightNet())(loss_B)
    assert weight_B.sum().item() == pytest.approx(1)
