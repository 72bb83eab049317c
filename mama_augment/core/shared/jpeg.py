"""A stored JPEG as pixels: the one place that decodes frames, so that all agree on broken ones."""

from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage
from PIL import UnidentifiedImageError

Image = npt.NDArray[np.uint8]
"""RGB [H, W, 3]."""

JPEG_START = b"\xff\xd8\xff"
JPEG_SCAN = b"\xff\xda"
MOST_SCANS = 100
"""Progressive pictures have about ten; each is a pass over all pixels."""
MAX_FRAME_PIXELS = 64_000_000
_REDUCED = {
    1: cv2.IMREAD_COLOR_RGB,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


class BrokenFrameError(ValueError):
    """No picture, or one too large to decode safely; the message completes "this frame is …"."""


def jpeg_size_px(encoded: bytes) -> tuple[int, int]:
    """(width, height) of a JPEG from its header; no pixel is decoded.

    Raises:
        BrokenFrameError: the bytes are no picture, or one of more than 64 million pixels.
    """
    # Nothing else is even tried: of other formats, some call programs, and some unpack without end.
    if not encoded.startswith(JPEG_START):
        raise BrokenFrameError(f"no picture ({len(encoded)} bytes that are not a JPEG)")
    try:
        with PilImage.open(io.BytesIO(encoded), formats=("JPEG",)) as header:  # reads no pixels yet
            width, height = header.size
    except UnidentifiedImageError:  # whose own message names an address in memory
        raise BrokenFrameError(f"no picture ({len(encoded)} bytes that are not a JPEG)") from None
    except (OSError, ValueError, SyntaxError, PilImage.DecompressionBombError) as error:
        raise BrokenFrameError(f"no picture ({len(encoded)} bytes; {error})") from error
    if encoded.count(JPEG_SCAN) > MOST_SCANS:
        raise BrokenFrameError(f"a picture of more than {MOST_SCANS} scans")
    if width * height > MAX_FRAME_PIXELS:
        raise BrokenFrameError(
            f"a picture of {width}x{height} px; at most {MAX_FRAME_PIXELS:,} pixels are decoded"
        )
    return width, height


def decode_jpeg(
    encoded: bytes, most_shrink: Callable[[int, int], float] = lambda width, height: 1.0
) -> Image:
    """The pixels of a JPEG, uint8 RGB [H, W, 3].

    Args:
        most_shrink: from the picture's (width, height) to how many times smaller it may come out.
            The decoder itself then shrinks by 2, 4 or 8, several times faster than a full decode.

    Raises:
        BrokenFrameError: the bytes do not decode, or the picture has more than 64 million pixels.
    """
    width, height = jpeg_size_px(encoded)
    most = most_shrink(width, height)
    factor = max(f for f in _REDUCED if f == 1 or f <= most)
    pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), _REDUCED[factor])
    if pixels is None:
        raise BrokenFrameError(
            f"damaged ({len(encoded)} bytes of a {width}x{height} px picture do not decode)"
        )
    if factor > 1:  # these flags know no RGB
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return pixels.astype(np.uint8, copy=False)
