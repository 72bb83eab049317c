"""The one door for media: we open the file, and FFmpeg gets its bytes and nothing else.

A file may be made to mean harm: a playlist that names other files or hosts under a video's name, a
link, a pipe that waits for ever. So only regular files are opened, once, and handed over as an
object; only containers of a list are looked into, of which none names another file; and FFmpeg may
open nothing by itself.
"""

from __future__ import annotations

import io
import os
import stat

import av

from mama_augment.decode.config import SUFFIX
from mama_augment.decode.errors import ClipError

CONTAINERS = (
    *("mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "avi", "asf", "asf_o", "flv"),
    *("live_flv", "kux", "mpegts", "mpegtsraw", "mpeg", "mpegvideo", "mxf", "gxf", "ogg", "gif"),
    *("nut", "rm", "wtv", "ivf", "dv", "h261", "h263", "h264", "hevc", "vvc", "obu", "av1", "m4v"),
    *("vc1", "mjpeg", "apng", "nsv", "nuv", "flic", "yuv4mpegpipe", "dirac", "cavsvideo"),
)
"""FFmpeg's names. Not on it: concat, hls, dash, sdp, image2, lavfi and whatever else opens more."""
FORMAT_OPTIONS = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "none"}
READ_BYTES = 2**16
"""At a time; a call costs as much as reading so many bytes from memory."""


class MediaFile(io.FileIO):
    """A regular file, open for reading, whose name for FFmpeg is a suffix and no path."""

    def __init__(self, path: str, root: str | None = None) -> None:
        """
        root: the folder that the file must lie in, wherever links lead; None: anywhere.

        Raises:
            ClipError: unreadable (not a regular file, or empty) or outside.
            OSError: it cannot be opened.
        """
        # A pipe would wait for its writer, and a terminal become ours.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        super().__init__(os.open(path, flags))
        self.path = path
        found = SUFFIX.fullmatch(os.path.splitext(path)[1])
        self.name = f"video{found.group() if found else ''}"
        try:
            self._check(root)
        except BaseException:
            self.close()
            raise

    def _check(self, root: str | None) -> None:
        status = os.fstat(self.fileno())
        if not stat.S_ISREG(status.st_mode):
            what = "is a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise ClipError("unreadable", f"{self.path}: {what}")
        if not status.st_size and not os.pread(self.fileno(), 1, 0):
            raise ClipError("unreadable", f"{self.path}: the file is empty")
        if root is None:
            return
        # Of what is open, and not of what may lie there by now.
        where = os.readlink(f"/proc/self/fd/{self.fileno()}")
        if not where.startswith(f"{os.path.realpath(root).rstrip('/')}/"):
            raise ClipError("outside", f"{self.path}: it lies outside {root} (--root)")

    def again(self) -> MediaFile:
        """The same file, to be read beside this one."""
        other = MediaFile.__new__(MediaFile)
        io.FileIO.__init__(other, os.open(f"/proc/self/fd/{self.fileno()}", os.O_RDONLY))
        other.path, other.name = self.path, self.name
        return other


def open_container(file: MediaFile) -> av.container.InputContainer:
    """A file as FFmpeg sees it; `file` is to stay open as long.

    Raises:
        av.error.FFmpegError, OSError, ValueError: it is damaged, or a container that is not on the
            list.
    """
    return av.open(
        file,
        metadata_errors="replace",
        container_options=FORMAT_OPTIONS,
        buffer_size=READ_BYTES,
    )
