"""Draws that are a hash: the values that directories and runs on disk were made with."""

from __future__ import annotations

import numpy as np

from mama_augment.core.draws import draw_bits, hash_salt, mix


def test_hashes_are_those_of_earlier_versions() -> None:
    assert draw_bits(0, "clip", 3) == 15009540826219271205
    assert hash_salt(1, 2, "draws") == 3545558833911639541
    assert mix(np.arange(3), 7).tolist() == [
        7755983571195088338,
        611467129141189643,
        1841657565734664664,
    ]


def test_mix_keeps_the_shape_and_depends_on_the_salt() -> None:
    values = np.arange(12).reshape(3, 4)
    assert mix(values, 1).shape == (3, 4)
    assert not np.intersect1d(mix(values, 1), mix(values, 2)).size
