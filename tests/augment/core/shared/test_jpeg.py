"""Pixels of stored frames: what the decoder shrinks, and what counts as broken."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from mama_augment.core.shared.jpeg import BrokenFrameError, decode_jpeg


def encoded(height: int = 90, width: int = 120, **options: Any) -> bytes:
    small = np.random.default_rng(3).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    picture = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    sink = io.BytesIO()
    Image.fromarray(picture).save(sink, "JPEG", quality=90, **options)
    return sink.getvalue()


@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"progressive": True}])
@pytest.mark.parametrize(("wanted", "factor"), [(90, 1), (46, 1), (45, 2), (20, 4), (3, 8)])
def test_a_shrunk_decode_has_the_pixels_of_pillows_draft(
    wanted: int, factor: int, options: dict[str, Any]
) -> None:
    data = encoded(**options)
    pixels = decode_jpeg(data, lambda width, height: min(width, height) / wanted)
    with Image.open(io.BytesIO(data)) as picture:
        picture.draft("RGB", (wanted, wanted))
        assert np.array_equal(pixels, np.asarray(picture.convert("RGB")))
    assert pixels.shape == (-(-90 // factor), 120 // factor, 3)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "no picture"),
        (b"plain text", r"no picture \(10 bytes that are not a JPEG\)"),
        (encoded()[:300], r"no picture \(300 bytes"),
        (encoded()[:-10], "damaged .* of a 120x90 px picture"),
    ],
)
def test_what_does_not_decode_is_named(data: bytes, what: str) -> None:
    with pytest.raises(BrokenFrameError, match=what) as caught:
        decode_jpeg(data)
    assert "BytesIO" not in str(caught.value), "an address in memory would differ in every run"
