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

Image = npt.NDArray[np.uint8]
Frame = av.VideoFrame
"""A decoded frame, for those who hold one and decode nothing."""

UNSPECIFIED_COLORSPACE = 2
LARGEST_SD_HEIGHT_PX = 576


class Scaler:
    """Makes RGB pictures of one size from one clip's frames; the first frame sets the size. After
    that, any thread may ask."""

    def __init__(self, config: PictureConfig, pixel_aspect: Fraction) -> None:
        self._config = config
        self._pixel_aspect = pixel_aspect
        self._of_thread = threading.local()
        self._size: tuple[int, int] | None = None
        self.display_size = (0, 0)
        """Width and height of the upright, square-pixel picture before scaling."""

    def rgb(self, frame: av.VideoFrame) -> Image:
        """uint8 [height, width, 3], turned upright as the container's rotation says."""
        if self._size is None:
            self._size = self._first_size(frame)
        width, height = self._size
        unknown = frame.colorspace == UNSPECIFIED_COLORSPACE
        is_sd = frame.height <= LARGEST_SD_HEIGHT_PX
        scaled = self._reformatter().reformat(
            frame,
            width=width,
            height=height,
            format="rgb24",
            # Players read untagged small video as BT.601 and large video as BT.709.
            src_colorspace=(Colorspace.ITU601 if is_sd else Colorspace.ITU709) if unknown else None,
            interpolation="AREA",
            threads=1,
        )
        image = np.asarray(scaled.to_ndarray(), np.uint8)
        quarter_turns = round(frame.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(image, quarter_turns)) if quarter_turns else image

    def _reformatter(self) -> VideoReformatter:
        """One per thread: it holds the state of a conversion."""
        if not hasattr(self._of_thread, "reformatter"):
            self._of_thread.reformatter = VideoReformatter()
        reformatter: VideoReformatter = self._of_thread.reformatter
        return reformatter

    def _first_size(self, frame: av.VideoFrame) -> tuple[int, int]:
        width = max(1, round(frame.width * self._pixel_aspect))
        height = frame.height
        is_turned = round(frame.rotation / 90) % 2 == 1
        self.display_size = (height, width) if is_turned else (width, height)
        scale = min(1.0, self._config.short_side_px / min(width, height))
        return max(1, round(width * scale)), max(1, round(height * scale))


def jpeg_bytes(image: Image, quality: int) -> bytes:
    """A baseline JPEG of an RGB picture."""
    from PIL import Image as PilImage

    sink = io.BytesIO()
    PilImage.fromarray(image).save(sink, "JPEG", quality=quality)
    return sink.getvalue()
