"""Which suffixes of videos come out right?

    python benchmarks/suffixes.py

Thirty numbered frames are written under every suffix that a folder scan takes, where FFmpeg has a
writer and an encoder for it here, and read by `keyframes`. Reported: suffixes by verdict.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import av.error

sys.path.insert(0, str(Path(__file__).parent.parent))

from mama_augment.decode.config import Span
from mama_augment.decode.errors import ClipError
from mama_augment.inputs.folder.suffixes import VIDEO_SUFFIXES
from mama_augment.keyframes.config import ClipConfig
from mama_augment.keyframes.extract import extract_clip
from tests.augment.numbered import read_number, write_numbered

# fmt: off
CODECS = {
    "mpeg2video": ".mpg .mpeg .m2v .vob .mxf .gxf .wtv .m2p .mpe .mod .tod .vro .evo",
    "mpeg4": ".avi .nut .divx", "mpeg1video": ".m1v", "libvpx": ".webm .ivf", "flv": ".flv",
    "libtheora": ".ogv .ogm .ogx", "wmv2": ".wmv .asf", "mjpeg": ".mjpeg .mjpg", "gif": ".gif",
    "libx265": ".hevc .h265 .265", "rawvideo": ".y4m", "rv10": ".rm", "libsvtav1": ".obu",
    "dvvideo": ".dv", "amv": ".amv", "roqvideo": ".roq",
}
FORMATS = {
    "mpeg": ".m2p .mpe .mod .vro .evo", "mpegts": ".tod .trp .m2t .mts .mpv", "avi": ".divx",
    "ogg": ".ogm .ogx", "matroska": ".mk3d", "mov": ".mqv .qt", "h264": ".avc .264",
    "hevc": ".265 .h265", "mjpeg": ".mjpg", "mp4": ".ism .ismv",
}
PIXELS = {"rgb8": ".gif", "yuvj420p": ".mjpeg .mjpg"}
# fmt: on


def by_suffix(table: dict[str, str]) -> dict[str, str]:
    return {suffix: name for name, suffixes in table.items() for suffix in suffixes.split()}


def verdict(path: Path, suffix: str) -> str:
    try:
        write_numbered(
            path,
            30,
            codec=by_suffix(CODECS).get(suffix, "libx264"),
            size=(160, 128),
            format=by_suffix(FORMATS).get(suffix),
            pix_fmt=by_suffix(PIXELS).get(suffix, "yuv420p"),
        )
    except (av.error.FFmpegError, ValueError):
        return "not tried"
    try:
        found = extract_clip(str(path), Span(), ClipConfig())
    except ClipError as error:
        return error.reason
    numbers = [read_number(jpeg) for jpeg in found.frames]
    return "ok" if numbers == found.frame_index else "wrong pictures"


def main() -> None:
    found = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for suffix in VIDEO_SUFFIXES:
            found[verdict(Path(folder) / f"video{suffix}", suffix)].append(suffix)
    for name, suffixes in found.items():
        print(f"{name} ({len(suffixes)}): {' '.join(suffixes)}")


if __name__ == "__main__":
    main()
