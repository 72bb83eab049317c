"""Key frames of a few clips on one picture, so that a person can look."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from mama_augment.core.shared.jpeg import BrokenFrameError, decode_jpeg
from mama_augment.core.store.step_dir import StepDir

MARGIN_PX = 6
LABEL_PX = 14
CELL_HEIGHT_PX = 96
FRAMES_PER_LINE = 12
LEAST_WIDTH_PX = 420
LETTER_PX = 6
"""Of Pillow's built-in font, about."""
INK, PAPER = (30, 30, 30), (250, 250, 250)


def contact_sheet(clips: Sequence[dict[str, Any]]) -> Image.Image:
    """One strip per clip, its times below: rows of the clips table to an RGB picture.

    Strips are as high as CELL_HEIGHT_PX, break after FRAMES_PER_LINE frames, and bear the file's
    name, the clip's id, its texts and, where a row has them, its `captions`.
    """
    strips = [_strip(clip) for clip in clips]
    width = max(strip.width for strip in strips)
    height = sum(strip.height for strip in strips)
    sheet = Image.new("RGB", (width, height), PAPER)
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return sheet


def _strip(clip: dict[str, Any]) -> Image.Image:
    cells = [_cell(jpeg) for jpeg in clip["frames"]]
    lines = [cells[i : i + FRAMES_PER_LINE] for i in range(0, len(cells), FRAMES_PER_LINE)]
    width = max(sum(c.width + MARGIN_PX for c in line) for line in lines) + MARGIN_PX
    line_height = CELL_HEIGHT_PX + LABEL_PX + MARGIN_PX
    width = max(width, LEAST_WIDTH_PX)
    said = _said(clip, width)
    height = LABEL_PX * 2 + line_height * len(lines) + LABEL_PX * len(said)
    strip = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(strip)
    file = clip["video_uri"].rsplit("/", 1)[-1]
    title = f"{file}   {clip['clip_id']}   {clip['num_frames']} frames, {clip['strategy']}"
    pen.text((MARGIN_PX, 2), _printable(title), INK)
    for number, text in enumerate(said):
        top = LABEL_PX + 4 + line_height * len(lines) + LABEL_PX * number
        pen.text((MARGIN_PX, top), _printable(text), INK)
    times = iter(clip["frame_seconds"])
    for number, line in enumerate(lines):
        left, top = MARGIN_PX, LABEL_PX + 4 + number * line_height
        for cell in line:
            strip.paste(cell, (left, top))
            pen.text((left, top + CELL_HEIGHT_PX + 1), f"{next(times):.2f} s", INK)
            left += cell.width + MARGIN_PX
    return strip


def _said(clip: dict[str, Any], width_px: int) -> list[str]:
    """Lines of text: what came with the clip, then what captioners said."""
    most = max(20, (width_px - 2 * MARGIN_PX) // LETTER_PX)
    texts = [*(f"given: {text['text']}" for text in clip["texts"]), *clip.get("captions", ())]
    return [line for text in texts for line in textwrap.wrap(text, most, subsequent_indent="   ")]


def _cell(jpeg: bytes) -> Image.Image:
    """The frame at its height on the sheet; a dark square where it does not decode."""
    try:
        picture = Image.fromarray(decode_jpeg(jpeg))
    except BrokenFrameError:
        cell = Image.new("RGB", (CELL_HEIGHT_PX, CELL_HEIGHT_PX), INK)
        ImageDraw.Draw(cell).text((MARGIN_PX, CELL_HEIGHT_PX // 2), "broken frame", PAPER)
        return cell
    width = max(1, round(picture.width * CELL_HEIGHT_PX / picture.height))
    return picture.resize((width, CELL_HEIGHT_PX), Image.Resampling.BILINEAR)


def _printable(text: str) -> str:
    """What Pillow's built-in font can draw."""
    return text.encode("latin-1", "replace").decode("latin-1")


def sheet_png(clips: Sequence[dict[str, Any]]) -> bytes:
    """`contact_sheet` as a PNG file."""
    sink = io.BytesIO()
    contact_sheet(clips).save(sink, "PNG")
    return sink.getvalue()


def pick_rows(step_dir: StepDir, num_wanted: int) -> list[dict[str, Any]]:
    """Up to `num_wanted` rows of a clips table, spread evenly; only their files are read."""
    units = list(step_dir.units())
    num_rows = sum(unit.num_rows for unit in units)
    wanted = np.linspace(0, num_rows - 1, min(num_wanted, num_rows)).round().astype(int).tolist()
    rows: list[dict[str, Any]] = []
    first = 0
    for unit in units:
        if here := [index - first for index in wanted if first <= index < first + unit.num_rows]:
            rows += unit.table().take(here).to_pylist()
        first += unit.num_rows
    return rows
