"""What a clip's key frames look like, cheaply: a small grey copy of each, a hash, a few flags.

Clips that are black, or in which nothing moves, are known before a caption is paid for; hashes of
64 bits tell clips that show the same from those that do not, without decoding a picture again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mama_augment.core.shared.flags import BLACK, STATIC

GREY_ROWS, GREY_COLUMNS = 16, 18
HASH_ROWS, HASH_COLUMNS = 8, 9
"""Twice as coarse as the grey copy: 8 x 8 differences of neighbours."""
BLACK_LEVEL = 24
"""Of 255: no point of a black picture is brighter than a faint logo or noise would make it."""
STATIC_LEVEL = 1.0
"""Mean difference, of 255, that noise and compression leave between pictures of a still scene."""

Grey = npt.NDArray[np.uint8]


def grey_copy(image: npt.NDArray[np.uint8]) -> Grey:
    """uint8 [GREY_ROWS, GREY_COLUMNS]: means of areas of an RGB picture."""
    from PIL import Image

    small = Image.fromarray(image).resize((GREY_COLUMNS, GREY_ROWS), Image.Resampling.BOX)
    return np.asarray(small.convert("L"), np.uint8)


def look_hash(grey: Grey) -> int:
    """64 bits, as a signed number: whether each area is brighter than its right neighbour.

    Two pictures of one scene differ in few bits, whatever their size and compression; unlike ones
    in about 32.
    """
    areas = grey.reshape(HASH_ROWS, GREY_ROWS // HASH_ROWS, HASH_COLUMNS, -1)
    coarse = areas.mean(axis=(1, 3))
    bits = np.packbits(coarse[:, :-1] > coarse[:, 1:])
    return int(bits.view(">i8")[0])


def look_flags(greys: Sequence[Grey]) -> list[str]:
    """`black` and `static`, of a clip's key frames."""
    stack = np.stack(greys).astype(np.int16)
    flags = [BLACK] if stack.max() <= BLACK_LEVEL else []
    moved = np.abs(stack - stack[0]).mean(axis=(1, 2)).max()
    return [*flags, STATIC] if len(greys) > 1 and moved < STATIC_LEVEL else flags
