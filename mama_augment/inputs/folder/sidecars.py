"""Texts beside a video, in files of its name: `.txt`, `.json`, and subtitles with their times."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mama_augment.inputs.table.source import MARKS
from mama_augment.inputs.table.times import clock_seconds

SIDECAR_SUFFIXES = (".txt", ".json", ".srt", ".vtt")
SUBTITLES = "subtitles"
"""The source of their texts."""
TEXT_FIELDS = ("text", "texts", "caption", "captions")
KEPT_FIELDS = ("source", "trusted", "split", "start_seconds", "end_seconds", "clip_id")
_SPOKEN: Mapping[str, Any] = {"source": SUBTITLES}
MOST_BYTES = 16 * 2**20
CUE = re.compile(r"^\s*([\d:.,]+)\s*-->\s*([\d:.,]+)")
TAG = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")
"""Of HTML and of Advanced SubStation, which both stand in subtitles."""


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """What a file says of its video."""

    rows: list[dict[str, Any]]
    """Known columns of a manifest, but for `video`."""
    ignored: tuple[str, ...] = ()
    """Fields that are not taken."""


def read_sidecar(name: str, content: bytes) -> Sidecar:
    """The texts of a file.

    Raises:
        ValueError: it is not what its suffix says; the message does not name the file.
    """
    if len(content) > MOST_BYTES:
        raise ValueError(f"{len(content):,} bytes are not a text about a video")
    text = _decoded(content)
    suffix = name.lower().rpartition(".")[2]
    if suffix == "json":
        return _of_json(text)
    if suffix in ("srt", "vtt"):
        return Sidecar(rows=list(_cues(text)))
    text = text.strip()
    return Sidecar(rows=[{"text": text}] if text else [])


def _decoded(content: bytes) -> str:
    for mark, encoding in MARKS.items():
        if content.startswith(mark):
            return content.decode(encoding)
    return content.decode()


def _of_json(text: str) -> Sidecar:
    """An object, or a list of objects, with fields of a manifest or of video2dataset."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    objects = value if isinstance(value, list) else [value]
    rows: list[dict[str, Any]] = []
    ignored: dict[str, None] = {}
    for item in objects:
        if isinstance(item, str):
            item = {"text": item}
        if not isinstance(item, dict):
            raise ValueError(f"{item!r:.60} is not an object")
        kept = {name: item[name] for name in KEPT_FIELDS if item.get(name) is not None}
        named = next((name for name in TEXT_FIELDS if item.get(name)), None)
        texts = item[named] if named else []
        for said in texts if isinstance(texts, list) else [texts]:
            if not isinstance(said, str):
                raise ValueError(f"its {named} is {said!r:.60}, not a text")
            rows.append(_checked({"text": said, **kept}))
        ignored |= dict.fromkeys(set(item) - set(kept) - {named})
    return Sidecar(rows=rows, ignored=tuple(sorted(ignored)))


def _checked(row: dict[str, Any]) -> dict[str, Any]:
    for name in ("start_seconds", "end_seconds"):
        if name in row:
            row[name] = clock_seconds(str(row[name]))
    for name in ("source", "split", "clip_id"):
        if name in row:
            row[name] = str(row[name])
    if not isinstance(row.get("trusted", False), bool):
        raise ValueError(f"its trusted is {row['trusted']!r}, not true or false")
    return row


def _cues(text: str) -> Iterator[dict[str, Any]]:
    """The cues of a subtitle file: what stands between a line with times and a blank one."""
    times: tuple[float, float] | None = None
    said: list[str] = []
    for line in [*text.splitlines(), ""]:
        if found := CUE.match(line):
            start, end = (clock_seconds(time) for time in found.groups())
            times, said = (start or 0.0, end or 0.0), []
        elif line.strip():
            said.append(line)
        elif times is not None:
            plain = " ".join(html.unescape(TAG.sub("", " ".join(said))).split())
            if plain and times[1] > times[0]:
                start, end = times
                yield {"text": plain, "start_seconds": start, "end_seconds": end, **_SPOKEN}
            times = None


def as_asked(rows: list[dict[str, Any]], choice: str) -> list[dict[str, Any]]:
    """Rows of subtitles as clips of their own (`clips`), as one text of the whole video (`whole`),
    or not at all (`none`)."""
    spoken = [row for row in rows if row.get("source") == SUBTITLES]
    others = [row for row in rows if row.get("source") != SUBTITLES]
    if choice == "clips" or not spoken:
        return rows
    joined = {"text": " ".join(row["text"] for row in spoken), **_SPOKEN}
    return others if choice == "none" else [*others, joined]
