"""How a stored picture is turned and mirrored to stand as players show it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import av
import numpy as np
import numpy.typing as npt

MATRIX = struct.Struct("=9i")
"""A display matrix: three rows of (16.16, 16.16, 2.30) fixed point numbers, row vectors times it
give places on the display."""


@dataclass(frozen=True, kw_only=True)
class Orientation:
    """One of the eight ways in which a picture can stand. The order is: transpose, then mirror."""

    is_transposed: bool = False
    mirrors_columns: bool = False
    """Left and right change places."""
    mirrors_rows: bool = False
    """Top and bottom change places."""

    def upright(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """uint8 [height, width, channels], as it is shown."""
        if self == UPRIGHT:
            return image
        if self.is_transposed:
            image = image.transpose(1, 0, 2)
        rows = slice(None, None, -1 if self.mirrors_rows else 1)
        columns = slice(None, None, -1 if self.mirrors_columns else 1)
        return np.ascontiguousarray(image[rows, columns])


UPRIGHT = Orientation()


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """What the frame's display matrix says, to the nearest quarter turn; none: as it is.

    A negative determinant is a mirror, which the rotation alone does not show.
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return UPRIGHT
    a, b, _, c, d, *_ = MATRIX.unpack(bytes(data)[: MATRIX.size])
    if a == b == c == d == 0:
        return UPRIGHT  # no player knows what to do with it
    # x' = a x + c y, y' = b x + d y
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(mirrors_columns=a < 0, mirrors_rows=d < 0)
    return Orientation(is_transposed=True, mirrors_columns=c < 0, mirrors_rows=b < 0)
