"""Whoever looks at a stored frame agrees on whether it is broken."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from mama_augment.caption.input.grid import decode_for_cell
from mama_augment.core.shared.jpeg import BrokenFrameError
from mama_augment.people.report import contact_sheet, samples
from mama_augment.people.validate import Validation, check_frames
from mama_train.data.frames import decode_frames
from mama_train.models.specs import FrameSpec


def picture() -> bytes:
    pixels = np.random.default_rng(1).integers(0, 256, (96, 128, 3)).astype(np.uint8)
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "JPEG", quality=85)
    return sink.getvalue()


WHOLE = picture()
FILES = {
    "whole": (WHOLE, True),
    "half": (WHOLE[: len(WHOLE) // 2], False),
    "95 %": (WHOLE[: len(WHOLE) * 95 // 100], False),
    "header": (WHOLE[:40], False),
    "garbage": (b"this is text", False),
    "nothing": (b"", False),
}


def captions_show(data: bytes, cell_px: tuple[int, int]) -> bool:
    try:
        decode_for_cell(data, cell_px)
    except BrokenFrameError:
        return False
    return True


def training_shows(data: bytes, size_px: int) -> bool:
    try:
        decode_frames([data], np.array([0]), FrameSpec(num_frames=1, size_px=size_px), clip_id="c")
    except ValueError:
        return False
    return True


def validation_passes(data: bytes) -> bool:
    result = Validation()
    check_frames("row 0", [data], result)
    return not result.problems


def sheet_shows(data: bytes) -> bool:
    row = {"clip_id": "c", "video_uri": "c.mp4", "num_frames": 1, "strategy": "peaks"}
    row |= {"texts": [], "frame_seconds": [0]}
    found = np.asarray(contact_sheet.contact_sheet([row | {"frames": [data]}]))
    other = np.asarray(contact_sheet.contact_sheet([row | {"frames": [b"not a picture"]}]))
    return not np.array_equal(found, other)


USERS: dict[str, Callable[[bytes], bool]] = {
    "caption, whole": lambda data: captions_show(data, (128, 96)),
    "caption, shrunk": lambda data: captions_show(data, (20, 15)),
    "train, whole": lambda data: training_shows(data, 96),
    "train, shrunk": lambda data: training_shows(data, 16),
    "validate": validation_passes,
    "report": lambda data: bool(samples.grid_uri([data])),
    "inspect": sheet_shows,
}


@pytest.mark.parametrize("file", FILES)
def test_all_who_look_at_a_frame_agree(file: str) -> None:
    data, is_whole = FILES[file]
    assert {user: shows(data) for user, shows in USERS.items()} == dict.fromkeys(USERS, is_whole)
