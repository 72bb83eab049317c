"""The main number of metrics, by which checkpoints are chosen, and what is shown of the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Headline:
    """The number called `name` in the parts `places` of metrics; the first of them is the main one.
    beside: another number that is shown with it."""

    places: tuple[str, ...]
    name: str
    title: str
    beside: str
    beside_unit: str

    def of(self, metrics: Mapping[str, Any]) -> float:
        """In percent."""
        return float(metrics[self.places[0]][self.name])

    def words(self, metrics: Mapping[str, Any]) -> str:
        """For one line: `R@1 40.0 %, MdR 2`."""
        beside = f"{metrics[self.places[0]][self.beside]:g}{self.beside_unit}"
        return f"{self.name} {self.of(metrics):.1f} %, {self.beside} {beside}"


HEADLINES = (
    Headline(places=("answers",), name="acc", title="Accuracy", beside="acc@10", beside_unit=" %"),
    Headline(
        places=("text_to_video", "video_to_text"),
        name="R@1",
        title="R@1",
        beside="MdR",
        beside_unit="",
    ),
)


def headline(metrics: Mapping[str, Any]) -> Headline:
    """What metrics of this kind have."""
    return next(known for known in HEADLINES if known.places[0] in metrics)
