"""Charts of a run: the numbers that they draw."""

from __future__ import annotations

import numpy as np
import pytest

from mama_train.report.plots import smooth, wilson


def test_intervals_are_wilsons() -> None:
    low, high = wilson(np.array([0.8, 0.0, 1.0]), np.array([10, 5, 5]))
    assert low.tolist() == pytest.approx([0.4902, 0.0, 0.5655], abs=1e-4)
    assert high.tolist() == pytest.approx([0.9433, 0.4345, 1.0], abs=1e-4)
    low, high = wilson(np.array([0.0, 0.3, 1.0]), np.array([10, 10, 10]))
    assert low == pytest.approx([0, 0.1078, 0.7225], abs=1e-4)
    assert high == pytest.approx([0.2775, 0.6032, 1], abs=1e-4)


def test_smoothing_keeps_a_constant() -> None:
    assert smooth(np.full(100, 2.0)) == pytest.approx(np.full(100, 2.0))
