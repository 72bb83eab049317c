"""Which videos have a split before any is drawn: given by the input, or kept from earlier shards.

Memory: 8 bytes per clip with a given split while they are read, then per video; 9 per kept video.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mama_augment.balance.source.earlier import NONE, Earlier, Keys, places
from mama_augment.core.draws import draw_bits
from mama_augment.core.errors import InputError
from mama_augment.core.schema import SPLITS


class OneClip(Protocol):
    """What is asked of a clip."""

    @property
    def clip_id(self) -> str: ...

    @property
    def video(self) -> str: ...

    @property
    def split(self) -> str | None:
        """As the input gives it."""
        ...


_NO_KEYS: Keys = np.array([], np.uint64)


@dataclass(kw_only=True)
class VideoSplits:
    """Is told of all clips, and then knows their videos."""

    earlier: Earlier | None = None
    _given: dict[str, array[int]] = field(default_factory=dict)
    """Keys of videos with a clip that the input gives a split, by that."""
    _kept: tuple[array[int], array[int]] = field(default_factory=lambda: (array("Q"), array("b")))
    """Of clips that are in the earlier shards, keys of their videos and indices of their splits."""
    _given_keys: Keys = field(default_factory=_NO_KEYS.copy)
    _kept_keys: Keys = field(default_factory=_NO_KEYS.copy)
    _kept_splits: npt.NDArray[np.int8] = field(default_factory=lambda: np.array([], np.int8))
    _contradicted: frozenset[int] = frozenset()
    """Kept videos whose split the input gives none of their clips, but another one."""

    def add(self, table: pa.Table) -> None:
        """Rows of clips: clip_id, video_uri, split."""
        with_split = table.filter(pc.is_valid(table["split"]))
        for split in pc.unique(with_split["split"]).to_pylist():
            videos = with_split["video_uri"].filter(pc.equal(with_split["split"], split))
            keys = map(video_key, pc.unique(videos).to_pylist())
            self._given.setdefault(split, array("Q")).extend(keys)
        if self.earlier is None:
            return
        splits = self.earlier.splits_of(table["clip_id"].to_pylist())
        videos = table["video_uri"].filter(pa.array(splits != NONE)).to_pylist()
        self._kept[0].extend(map(video_key, videos))
        self._kept[1].extend(splits[splits != NONE].tolist())

    def close(self) -> None:
        """All is added."""
        given = {
            split: np.unique(np.frombuffer(keys, np.uint64)) for split, keys in self._given.items()
        }
        self._given_keys = np.unique(np.concatenate([_NO_KEYS, *given.values()]))
        keys, splits = self._kept
        self._kept_keys, first = np.unique(np.frombuffer(keys, np.uint64), return_index=True)
        self._kept_splits = np.frombuffer(splits, np.int8)[first]
        given_too = set(np.intersect1d(self._given_keys, self._kept_keys).tolist())
        for number, split in enumerate(SPLITS):
            here = self._kept_keys[self._kept_splits == number]
            given_too -= set(np.intersect1d(given.get(split, _NO_KEYS), here).tolist())
        self._contradicted = frozenset(given_too)
        self._given, self._kept = {}, (array("Q"), array("b"))

    def is_given(self, videos: Sequence[str]) -> npt.NDArray[np.bool_]:
        """For each video, whether the input gives a split to any clip of it."""
        return places(self._given_keys, _keys(videos)) >= 0

    def is_kept(self, videos: Sequence[str]) -> npt.NDArray[np.bool_]:
        """For each video, whether any clip of it is in the earlier shards."""
        return places(self._kept_keys, _keys(videos)) >= 0

    def kept(self, clips: Sequence[OneClip]) -> list[str | None]:
        """The split of each clip in the earlier shards; None: it is not there.

        Raises:
            InputError: a video has another split there than the input gives it.
        """
        if self.earlier is None:
            return [None] * len(clips)
        codes = self.earlier.splits_of([clip.clip_id for clip in clips]).tolist()
        found = [None if code == NONE else SPLITS[code] for code in codes]
        for clip, split in zip(clips, found, strict=True):
            if clip.split is not None and clip.split != split:
                self._check(clip, split)
        return found

    def _check(self, clip: OneClip, split: str | None) -> None:
        """The input gives the clip another split than the one that it has in earlier shards."""
        assert self.earlier is not None
        key = video_key(clip.video)
        if split is None and key not in self._contradicted:
            return
        kept = split or SPLITS[self._kept_splits[np.searchsorted(self._kept_keys, np.uint64(key))]]
        raise InputError(
            f"video {clip.video!r}: the input gives its clip {clip.clip_id} to {clip.split}, and "
            f"--splits-from {self.earlier.uri!r} has the video in {kept}. Give it the same split "
            "or none in the input manifest, or leave --splits-from out"
        )


@dataclass(kw_only=True)
class VideoSizes:
    """How many clips that could train each video has; 8 bytes a clip while they are counted."""

    _seen: array[int] = field(default_factory=lambda: array("Q"))
    _keys: Keys = field(default_factory=_NO_KEYS.copy)
    _counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.array([], np.int64))
    total: int = 0

    def add(self, videos: Sequence[str]) -> None:
        """The videos of further clips, one for each clip."""
        self._seen.extend(map(video_key, videos))

    def close(self) -> None:
        """All are added."""
        self.total = len(self._seen)
        self._keys, self._counts = np.unique(
            np.frombuffer(self._seen, np.uint64), return_counts=True
        )
        self._seen = array("Q")

    @property
    def are_shared(self) -> bool:
        """Whether any video has several of these clips."""
        return bool((self._counts > 1).any())

    def of(self, videos: Sequence[str]) -> list[int]:
        """Clips of each video."""
        at = places(self._keys, _keys(videos))
        counts = self._counts[at] if len(self._counts) else np.zeros(len(at), np.int64)
        return np.where(at < 0, 0, counts).tolist()


def video_key(video: str) -> int:
    """64 bits in place of a video's URI."""
    return draw_bits(0, "video", video)


def _keys(videos: Sequence[str]) -> Keys:
    return np.array([video_key(video) for video in videos], np.uint64)
