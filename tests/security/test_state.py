"""A run of a stranger, resumed: its state is tensors and JSON, and never a pickle."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from mama_augment.core.errors import InputError
from mama_train.run.disk import load_tree, save_tree


class Bomb:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, ("open('PWNED', 'w')",)


def test_the_state_of_an_optimizer_comes_back_to_the_bit(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    groups = [{"params": m.parameters(), "lr": 0.1 * (i + 1)} for i, m in enumerate(model)]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.2)
    for _ in range(3):
        model(torch.randn(5, 3)).square().sum().backward()
        optimizer.step()
    state = {"optimizer": optimizer.state_dict(), "live": dict(model.named_parameters())}
    save_tree(state, tmp_path / "state.safetensors")
    again = load_tree(tmp_path / "state.safetensors", "cpu")
    for index, moments in state["optimizer"]["state"].items():
        for name, value in moments.items():
            found = again["optimizer"]["state"][index][name]
            assert found.dtype == value.dtype
            assert torch.equal(found, value)
    fresh = torch.optim.AdamW(
        [{"params": m.parameters()} for m in model], betas=(0.9, 0.98), weight_decay=0.2
    )
    fresh.load_state_dict(again["optimizer"])
    assert [group["lr"] for group in fresh.param_groups] == [0.1, 0.2]
    assert list(again["live"]) == list(state["live"])


KEYS = st.text(max_size=5) | st.integers()
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


@given(TREES)
def test_any_tree_comes_back(tmp_path_factory: pytest.TempPathFactory, tree: object) -> None:
    path = tmp_path_factory.mktemp("tree") / "x"
    save_tree(tree, path)
    assert load_tree(path, "cpu") == tree


def test_numbers_that_are_none_come_back(tmp_path: Path) -> None:
    save_tree([math.inf, math.nan, torch.tensor(2)], tmp_path / "x")
    inf, nan, two = load_tree(tmp_path / "x", "cpu")
    assert (inf, math.isnan(nan), int(two)) == (math.inf, True, 2)


def test_whatever_else_lies_there_is_one_line(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "state"
    torch.save({"optimizer": Bomb()}, path)
    contents: list[bytes] = [path.read_bytes(), pickle.dumps(Bomb()), b"", b"x" * 100]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(InputError, match="is damaged"):
            load_tree(path, "cpu")
    trees = ['{"tensor": "9"}', "not json", '{"nothing": 1}', "[" * 100_000, '{"dict": [[[], 1]]}']
    for tree in trees:
        save_file({"0": torch.zeros(1)}, path, metadata={"tree": tree})
        with pytest.raises(InputError, match="is damaged"):
            load_tree(path, "cpu")
    save_file({"0": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="is damaged"):
        load_tree(path, "cpu")
    assert not (tmp_path / "PWNED").exists()
