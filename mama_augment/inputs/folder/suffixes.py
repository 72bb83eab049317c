"""Names of files that are videos: every suffix of a container or stream that FFmpeg decodes."""

from __future__ import annotations

# fmt: off
VIDEO_SUFFIXES = (
    ".264", ".265", ".266", ".3g2", ".3gp", ".amv", ".asf", ".avc", ".avi", ".bik", ".cdxl",
    ".dav", ".dif", ".divx", ".dv", ".evc", ".evo", ".f4v", ".flv", ".gif", ".gxf", ".h261",
    ".h263", ".h264", ".h265", ".h266", ".hevc", ".ism", ".ismv", ".ivf", ".ivr", ".kux", ".lvf",
    ".m1v", ".m2p", ".m2t", ".m2ts", ".m2v", ".m4v", ".mj2", ".mjpeg", ".mjpg", ".mk3d", ".mkv",
    ".mod", ".moflex", ".mov", ".mp4", ".mpe", ".mpeg", ".mpg", ".mpv", ".mqv", ".mts", ".mxf",
    ".mxg", ".nsv", ".nut", ".obu", ".ogm", ".ogv", ".ogx", ".qt", ".rm", ".rmvb", ".roq", ".smk",
    ".tod", ".trp", ".ts", ".ty", ".usm", ".vc1", ".viv", ".vob", ".vro", ".vvc", ".webm", ".wmv",
    ".wtv", ".xmv", ".y4m", ".yop",
)
# fmt: on
TAR_SUFFIX = ".tar"
"""Of archives that hold clips as `KEY.mp4`, `KEY.txt`, `KEY.json` (webdataset, video2dataset)."""


def is_video(name: str) -> bool:
    return name.lower().endswith(VIDEO_SUFFIXES)


def is_hidden(name: str) -> bool:
    """Whether a file or folder is one that programs keep for themselves (`.git`, `._a.mp4`)."""
    return name.startswith(".") and name not in (".", "..")


def kind_of(name: str) -> str:
    """The suffix as it is counted: in small letters."""
    stem, dot, suffix = name.rpartition("/")[2].rpartition(".")
    return f".{suffix.lower()}" if dot and stem and len(suffix) <= LONGEST_SUFFIX else "no suffix"


LONGEST_SUFFIX = 10
