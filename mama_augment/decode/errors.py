"""Why a clip gives no key frames: one exception with a verdict and a reason code."""

from __future__ import annotations

REJECTED_REASONS = {
    "unreadable": "no frame can be decoded: damaged, empty, or not a video file",
    "no_video": "the file has no video stream",
    "too_short": "the clip has fewer frames than asked for, or its span lies outside the video",
    "too_large": "the picture or the file is larger than the limits allow",
    "bad_name": "the file's name is no text (UTF-8), or no file can have it",
}
"""Verdicts on the input: the same every run."""

FAILED_REASONS = {
    "missing": "the file is not there",
    "io_error": "the file could not be read",
    "unknown_scheme": "nothing installed here opens URIs of this kind",
    "timeout": "the clip took longer than the time limit",
    "out_of_memory": "the clip needed more memory than the limit",
    "crashed": "the decoder's process died",
}
"""Worth a retry."""


def verdict_of(reason: str) -> str:
    """`rejected` or `failed`; every reason is in exactly one of the tables."""
    assert (reason in REJECTED_REASONS) != (reason in FAILED_REASONS), reason
    return "rejected" if reason in REJECTED_REASONS else "failed"


class ClipError(Exception):
    """A clip that leaves the flow; `reason` is a key of the two tables above."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message
