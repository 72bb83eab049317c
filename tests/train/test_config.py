"""A run's settings: one table of names, three ways to give them, defaults beside their owners."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import typing
from collections import Counter
from dataclasses import is_dataclass

import pytest

from mama_augment.core.errors import InputError
from mama_train.config import TrainConfig, parse_settings, settings
from mama_train.objective.config import MarginLoss
from mama_train.run.config import OptimConfig
from mama_train.settings import flat, settings_of

FLAT_NAMES = set(
    re.findall(
        r"\w+",
        "shards out model num_frames sources human_share visit steps epochs batch_size augment "
        "num_workers window_clips margin margin_kind below weights normalised weight_lr meta_every "
        "meta_batch_size meta_layers lagged rows_per_pass gradient_checkpointing precision lr "
        "weight_decay beta1 beta2 warmup clip_norm max_logit_scale ema_decay eval_every save_every "
        "tensorboard wandb device seed",
    )
)
"""Names that people have in their scripts, comparisons and runs; none may go."""


def test_no_flat_name_is_ambiguous_and_none_has_gone() -> None:
    counts = Counter(s.name for s in settings_of(TrainConfig))
    assert [name for name, num in counts.items() if num > 1] == []
    assert set(counts) >= FLAT_NAMES
    dotted = {s.dotted for s in settings_of(TrainConfig)}
    assert {d for d in dotted if d in counts and settings()[d].dotted != d} == set()


def test_three_ways_to_name_a_setting_are_one() -> None:
    by_hand = TrainConfig(
        shards="s", optim=OptimConfig(lr=1e-4, warmup=0.2), loss=MarginLoss(kind="none")
    )
    flat_names = TrainConfig.of(shards="s", lr=1e-4, warmup=0.2, margin_kind="none")
    dotted = TrainConfig.of(
        shards="s", **{"optim.lr": 1e-4, "optim.warmup": 0.2, "loss.kind": "none"}
    )
    tables = TrainConfig.of(shards="s", optim={"lr": 1e-4, "warmup": 0.2}, loss={"kind": "none"})
    typed = parse_settings(["lr=1e-4", "optim.warmup=0.2", "margin-kind=none"])
    assert by_hand == flat_names == dotted == tables == TrainConfig.of(shards="s", **typed)
    listed = TrainConfig.of(shards="s", eval_shards=["a", "b"])
    assert listed == TrainConfig.of(shards="s", **parse_settings(["eval_shards=a, b"]))
    assert TrainConfig.of(**listed.to_json()).save.eval_shards == ("a", "b")
    assert TrainConfig.of(shards="s", model="clip-vip-b32").model.name == "clip-vip-b32"
    assert TrainConfig.of(shards="s", model={"num_frames": 4}).model.num_frames == 4


def test_a_saved_config_comes_back_and_an_older_one_gets_defaults() -> None:
    config = TrainConfig.of(shards="s", margin=0.2, meta_batch_size=8, ema_decay=0.9)
    saved = config.to_json()
    assert TrainConfig.of(**saved) == config
    assert set(saved) >= FLAT_NAMES
    del saved["cache_bytes"]
    assert TrainConfig.of(**saved) == config
    assert config.changed_since(TrainConfig.of(**saved | {"margin": 0.1, "out": "elsewhere"})) == [
        "margin was 0.1, now 0.2"
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"optim.lr": 1.0, "lr": 2.0}, "'lr' sets lr a second time"),
        ({"margins": 1}, "setting 'margins' is unknown; did you mean 'margin'?"),
        ({"optim": {"lrr": 1}}, "setting 'optim.lrr' is unknown; did you mean 'optim.lr'?"),
        ({"weights": "mlp"}, "weights 'mlp' is unknown; allowed: mlp-meta, mlp-joint"),
        ({"weights": "mlp-mta"}, "weights 'mlp-mta' is unknown; did you mean 'mlp-meta'?"),
        ({"meta_batch_size": 1}, "meta_batch_size is 1; give at least 2"),
        ({"seed": 2**63}, "seed is 9223372036854775808; give a number that fits into 64 bits"),
        ({"eval_shards": "a"}, "eval_shards is 'a'; give a list of texts"),
        ({"batch_size": True}, "batch_size is True; give a whole number"),
    ],
)
def test_mistakes_are_named_by_the_name_that_people_give(
    given: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError) as error:
        TrainConfig.of(shards="s", **given)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("text", ["lr", "depht=3", "optim.lrr=3", "precision=fp8", "steps=many"])
def test_mistakes_in_set_repeat_what_was_typed(text: str) -> None:
    with pytest.raises(InputError) as error:
        parse_settings([text])
    assert str(error.value).startswith(f"--set {text!r}: ")


def test_later_tables_win_whatever_form_their_names_have() -> None:
    """As an arm of a comparison over what is common to all."""
    common, arm = {"optim": {"lr": 1e-3}, "margin": 0.1}, {"lr": 1e-4, "loss.margin": 0.2}
    assert flat(common, settings()) | flat(arm, settings()) == {"lr": 1e-4, "margin": 0.2}


def parts() -> list[type]:
    hints = typing.get_type_hints(TrainConfig)
    return [TrainConfig, *(typing.cast(type, h) for h in hints.values() if is_dataclass(h))]


@pytest.mark.parametrize("part", parts())
def test_every_setting_has_a_help_text(part: type) -> None:
    (body,) = (
        n.body for n in ast.parse(inspect.getsource(part)).body if isinstance(n, ast.ClassDef)
    )
    for field, below in zip(body, [*body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            is_part = isinstance(field.value, ast.Call)
            assert is_part or (
                isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
            ), f"{part.__name__}.{field.target.id}"


def test_the_config_needs_no_torch() -> None:
    code = "import mama_train.config, sys; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "False", result.stderr
