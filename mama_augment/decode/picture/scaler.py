"""From a decoded frame to what is looked at: upright RGB with square pixels at output size."""

from __future__ import annotations

import io
import threading
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Colorspace, VideoReformatter

from mama_augment.decode.config import PictureConfig
from mama_augment.decode.picture.interlace import deinterlaced
from mama_augment.decode.picture.light import needs_light, to_sdr, transfer_of
from mama_augment.decode.picture.orientation import Orientation, orientation_of

Image = npt.NDArray[np.uint8]
Frame = av.VideoFrame
"""A decoded frame, for those who hold one and decode nothing."""

UNSPECIFIED_COLORSPACE = 2
LARGEST_SD_HEIGHT_PX = 576
MOST_ASPECT = 16
"""A pixel aspect beyond 16:1 is a broken header: no player's user would want to see it."""
SAME_SHAPE = 0.02
"""Shapes (width to height) that differ by less are scaled; others get black bars."""


class Scaler:
    """Makes RGB pictures of one size from one clip's frames; the first frame sets the size. After
    that, any thread may ask."""

    def __init__(self, config: PictureConfig, pixel_aspect: Fraction) -> None:
        self._config = config
        is_sane = Fraction(1, MOST_ASPECT) <= pixel_aspect <= MOST_ASPECT
        self._pixel_aspect = pixel_aspect if is_sane else Fraction(1)
        self._of_thread = threading.local()
        self._size: tuple[int, int] | None = None
        """Of the pictures, upright: width and height."""
        self.display_size = (0, 0)
        """Width and height of the upright, square-pixel picture before scaling."""
        self.transfer: str | None = None
        """The first frame's transfer characteristic, by FFmpeg's name."""
        self.has_other_shapes = False
        """Whether a frame got black bars."""
        self.has_interlaced = False
        """Whether a frame was deinterlaced."""

    def rgb(self, frame: av.VideoFrame) -> Image:
        """uint8 [height, width, 3], as a player shows it: turned, mirrored, deinterlaced, with the
        light of an ordinary screen. A frame of another shape than the first gets black bars."""
        orientation = orientation_of(frame)
        shown = self._shown_size(frame, orientation)
        if self._size is None:
            self.display_size = shown
            self.transfer = transfer_of(frame)
            scale = min(1.0, self._config.short_side_px / min(shown))
            self._size = (max(1, round(shown[0] * scale)), max(1, round(shown[1] * scale)))
        size = fitted(shown, self._size)
        self.has_other_shapes |= size != self._size
        self.has_interlaced |= bool(frame.interlaced_frame)
        stored = size[::-1] if orientation.is_transposed else size
        image = orientation.upright(self._pixels(deinterlaced(frame), *stored))
        return image if size == self._size else _with_bars(image, self._size)

    def _pixels(self, frame: av.VideoFrame, width: int, height: int) -> Image:
        """uint8 [height, width, 3] of the frame as it is stored."""
        unknown = frame.colorspace == UNSPECIFIED_COLORSPACE
        is_sd = frame.height <= LARGEST_SD_HEIGHT_PX
        is_other_light = needs_light(frame)
        scaled = self._reformatter().reformat(
            frame,
            width=width,
            height=height,
            format="rgb48le" if is_other_light else "rgb24",
            # Players read untagged small video as BT.601 and large video as BT.709.
            src_colorspace=(Colorspace.ITU601 if is_sd else Colorspace.ITU709) if unknown else None,
            interpolation="AREA",
            threads=1,
        )
        pixels = scaled.to_ndarray()
        if is_other_light:
            return to_sdr(np.asarray(pixels, np.uint16), frame)
        return np.asarray(pixels, np.uint8)

    def _reformatter(self) -> VideoReformatter:
        """One per thread: it holds the state of a conversion."""
        if not hasattr(self._of_thread, "reformatter"):
            self._of_thread.reformatter = VideoReformatter()
        reformatter: VideoReformatter = self._of_thread.reformatter
        return reformatter

    def _shown_size(self, frame: av.VideoFrame, orientation: Orientation) -> tuple[int, int]:
        """Width and height of the upright picture with square pixels."""
        size = max(1, round(frame.width * self._pixel_aspect)), frame.height
        return size[::-1] if orientation.is_transposed else size


def fitted(shown: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """The largest size of the shape of `shown` inside `box`; all of it where the shapes agree."""
    if abs(shown[0] * box[1] / (shown[1] * box[0]) - 1) < SAME_SHAPE or min(box) == 1:
        return box
    scale = min(box[0] / shown[0], box[1] / shown[1])
    return max(1, round(shown[0] * scale)), max(1, round(shown[1] * scale))


def _with_bars(image: Image, box: tuple[int, int]) -> Image:
    width, height = box
    canvas = np.zeros((height, width, 3), np.uint8)
    top, left = (height - image.shape[0]) // 2, (width - image.shape[1]) // 2
    canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
    return canvas


def jpeg_bytes(image: Image, quality: int) -> bytes:
    """A baseline JPEG of an RGB picture."""
    from PIL import Image as PilImage

    sink = io.BytesIO()
    PilImage.fromarray(image).save(sink, "JPEG", quality=quality)
    return sink.getvalue()
