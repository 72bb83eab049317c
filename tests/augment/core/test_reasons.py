"""Reasons of rejects: registered once, looked up by step, and all in use."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mama_augment
from mama_augment.core.ledger import Reject
from mama_augment.core.reasons import (
    Reason,
    reason_of,
    reasons_of,
    register,
    registered,
    verdict_of,
)

STEPS = ("keyframes", "caption", "balance")
PACKAGE = Path(mama_augment.__file__).parent
RAISED = {"ClipError": "keyframes", "IsolationError": "keyframes"}


def trees() -> Iterator[ast.Module]:
    for path in PACKAGE.rglob("*.py"):
        if path.name != "reasons.py":
            yield ast.parse(path.read_text())


def test_a_code_means_what_its_step_means_by_it() -> None:
    assert verdict_of("keyframes", "timeout") == verdict_of("caption", "timeout") == "failed"
    assert verdict_of("balance", "split_reserved") == "rejected"
    assert verdict_of("caption", "split_reserved") == "left_out"
    assert reason_of("keyframes", "timeout").text != reason_of("caption", "timeout").text
    with pytest.raises(AssertionError, match="'timeout' is not a registered reason of 'balance'"):
        verdict_of("balance", "timeout")


def test_a_new_reject_needs_a_registered_reason_and_gets_its_verdict() -> None:
    reject = Reject.of("keyframes", "missing", id="a", message="m", attempts=2)
    assert (reject.step, reject.verdict, reject.attempts) == ("keyframes", "failed", 2)
    with pytest.raises(AssertionError, match="'toy' is not a registered reason"):
        Reject.of("keyframes", "toy", id="a", message="m")
    toy = Reason(code="toy", step="keyframes", verdict="rejected", text="it is a toy")
    with registered(toy):
        assert Reject.of("keyframes", "toy", id="a", message="m").verdict == "rejected"
        with pytest.raises(AssertionError):
            register(toy)
    assert toy not in reasons_of("keyframes")


def test_every_error_of_a_clip_names_a_registered_reason() -> None:
    calls = [
        (RAISED[node.func.id], str(node.args[0].value))
        for tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in RAISED
        and isinstance(node.args[0], ast.Constant)
    ]
    assert len(calls) > 10
    for step, code in calls:
        assert verdict_of(step, code) in ("rejected", "failed")


def test_every_registered_reason_is_used() -> None:
    strings = {
        node.value
        for tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert [r.code for step in STEPS for r in reasons_of(step) if r.code not in strings] == []
