"""What the page shows and does, without HTTP: texts, clips and verdicts, one caller at a time."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

from mama_augment.core.address import is_uri
from mama_augment.core.errors import InputError
from mama_augment.core.reasons import reason_of
from mama_augment.people.clips import Clips
from mama_augment.people.review.texts import FILTERS, SORTS, Query, TextIndex, parse_ids
from mama_augment.people.review.verdicts import REASONS, STEP, Verdict, Verdicts

PAGE_ROWS = 24
MOST_ROWS = 100


class Session:
    """Everything that is open while the page is; safe to be called by several threads."""

    def __init__(self, index: TextIndex, clips: Clips, verdicts: Verdicts) -> None:
        self._index, self._clips, self._verdicts = index, clips, verdicts
        self._lock = threading.Lock()

    def about(self) -> dict[str, Any]:
        """What does not change: names, filters, reasons."""
        with self._lock:
            counts = self._index.concept_counts
            return {
                "num_texts": self._index.dataset.count_rows(),
                "concepts": [
                    {"id": i, "name": name, "num_texts": counts[i]}
                    for i, name in enumerate(self._index.names)
                ],
                "filters": dict(self._index.choices),
                "sorts": list(SORTS),
                "reasons": [{"code": c, "text": reason_of(STEP, c).text} for c in REASONS],
            }

    def progress(self) -> dict[str, Any]:
        """Every text that is asked about, and what became of it."""
        with self._lock:
            asked, found = self._verdicts.asked, self._verdicts.found
            return {
                "items": [
                    {
                        "number": number,
                        "split": row["split"],
                        "concept": row["concept"],
                        "verdict": found[number]["verdict"] if number in found else None,
                    }
                    for number, row in enumerate(asked)
                ],
                "verdicts": dict(Counter(row["verdict"] for row in found.values())),
                "splits": self._by("split"),
                "concepts": self._by("concept"),
            }

    def _by(self, column: str) -> list[dict[str, Any]]:
        """asked, judged and usable texts of each split or concept."""
        asked, usable, judged = Counter[str](), Counter[str](), Counter[str]()
        for number, row in enumerate(self._verdicts.asked):
            name = row[column] or ""
            asked[name] += 1
            verdict = self._verdicts.found.get(number)
            judged[name] += verdict is not None
            usable[name] += verdict is not None and verdict["status"] == "ok"
        return [
            {"name": name, "asked": n, "judged": judged[name], "usable": usable[name]}
            for name, n in asked.items()
        ]

    def item(self, number: int) -> dict[str, Any]:
        """A text that is asked about, with its clip.

        Raises:
            KeyError: there is none of that number.
        """
        with self._lock:
            if not 0 <= number < len(self._verdicts.asked):
                raise KeyError(number)
            asked = self._verdicts.asked[number]
            return {
                "number": number,
                **asked,
                "verdict": self._verdicts.found.get(number),
                **self._clip(asked["clip_id"]),
                "others": [
                    {name: row[name] for name in ("source", "text", "raw_text", "status", "reason")}
                    for row in self._index.of_clip(asked["clip_id"])
                    if (row["text"] or row["raw_text"]) != asked["raw_text"]
                ],
            }

    def _clip(self, clip_id: str) -> dict[str, Any]:
        (clip,) = self._clips.of([clip_id])
        if clip is None:
            return {"frame_seconds": [], "video": None, "has_video": False}
        _, seconds = self._clips.frames(clip_id)
        return {
            "frame_seconds": seconds,
            "video": clip["video_uri"],
            "has_video": is_playable(clip["video_uri"]),
            "start_seconds": clip["start_seconds"],
            "end_seconds": clip["end_seconds"],
        }

    def browse(self, query: Query, offset: int, limit: int = PAGE_ROWS) -> dict[str, Any]:
        """One page of the texts that a query finds."""
        with self._lock:
            total, rows = self._index.find(query, max(0, offset), min(max(1, limit), MOST_ROWS))
            shown = []
            for row in rows:
                text = _asked(row)
                number = self._verdicts.number_of(text)
                verdict = None if number is None else self._verdicts.found.get(number)
                names = [self._index.names[i] for i in parse_ids(row["concepts"])]
                shown.append(
                    {
                        **row,
                        "concepts": names,
                        "verdict": verdict and verdict["verdict"],
                        "num_frames": self._num_frames(row["clip_id"]),
                    }
                )
            return {"total": total, "rows": shown}

    def _num_frames(self, clip_id: str) -> int:
        (clip,) = self._clips.of([clip_id])
        return 0 if clip is None else int(clip["num_key_frames"])

    def ask(self, text_number: int) -> int:
        """Take a text of the browser into the review; its number there.

        Raises:
            KeyError: there is none of that number.
        """
        with self._lock:
            rows = self._index.rows([text_number])
            if not rows:
                raise KeyError(text_number)
            names = [self._index.names[i] for i in parse_ids(rows[0]["concepts"])]
            return self._verdicts.ask({**_asked(rows[0]), "concept": names[0] if names else None})

    def judge(self, number: int, verdict: Verdict) -> None:
        """
        Raises:
            KeyError: there is no such text.
        """
        with self._lock:
            if not 0 <= number < len(self._verdicts.asked):
                raise KeyError(number)
            self._verdicts.judge(number, verdict)

    def undo(self) -> int | None:
        """The text whose verdict was taken back."""
        with self._lock:
            return self._verdicts.undo()

    def frame(self, clip_id: str, place: int) -> bytes:
        """A key frame as a JPEG.

        Raises:
            KeyError: there is none.
        """
        with self._lock:
            if self._clips.of([clip_id]) == [None]:
                raise KeyError(clip_id)
            frames, _ = self._clips.frames(clip_id)
        if not 0 <= place < len(frames):
            raise KeyError(place)
        return frames[place]

    def video_path(self, clip_id: str) -> str:
        """Of a video on this machine; never a path that was asked for, but the clip's own.

        Raises:
            KeyError: there is none.
        """
        with self._lock:
            (clip,) = self._clips.of([clip_id])
        if clip is None or not is_playable(clip["video_uri"]):
            raise KeyError(clip_id)
        return str(clip["video_uri"])


def is_playable(uri: str) -> bool:
    """Whether a video is a file of this machine."""
    return not is_uri(uri) and os.path.isfile(uri)


def _asked(row: Mapping[str, Any]) -> dict[str, Any]:
    """A text of the index as a review knows it: what stood there is what is judged."""
    return {
        **{name: row[name] for name in ("clip_id", "video_uri", "source", "caption_index")},
        "raw_text": row["text"] or row["raw_text"] or "",
        "split": None,
        "concept": None,
    }


def query_of(given: Mapping[str, str]) -> Query:
    """From the parameters of a request.

    Raises:
        InputError: a value is not what it must be.
    """

    def number(name: str, kind: type) -> Any:
        value = given.get(name)
        if value in (None, ""):
            return None
        try:
            return kind(value)
        except ValueError as error:
            raise InputError(f"{name} is {value!r}; a number is needed") from error

    return Query(
        text=given.get("text", ""),
        equal={n: v.removeprefix("=") for n in FILTERS if (v := given.get(n, ""))},
        concept=number("concept", int),
        min_agreement=number("min_agreement", float),
        max_agreement=number("max_agreement", float),
        min_words=number("min_words", int),
        max_words=number("max_words", int),
        sort=given.get("sort") or "order",
        descending=given.get("descending") == "1",
    )
