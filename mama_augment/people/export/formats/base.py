"""What a format is, and what it is given to write."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from mama_augment.core.store.files import Folder, whole


@dataclass(frozen=True, kw_only=True)
class Media:
    """One file beside the texts: its suffix (`jpg`, `mp4`), its bytes."""

    suffix: str
    data: bytes


@dataclass(kw_only=True)
class Example:
    """A clip with its texts."""

    number: int
    """0, 1, … in the order of the export."""
    clip: Mapping[str, Any]
    """Columns of the clip."""
    texts: Sequence[Mapping[str, Any]]
    """Columns of each text."""
    frames: Sequence[bytes] = ()
    """JPEG key frames, where the format takes them."""
    frame_seconds: Sequence[float] = ()
    media: Sequence[Media] = ()
    media_seconds: tuple[float, float] | None = None
    """Of a clip that was cut: its first and its last frame, in the video's own time."""

    @property
    def key(self) -> str:
        """A name without dots and slashes, which a clip's own id may have."""
        return f"{self.number:09d}"

    def rows(self) -> Iterator[dict[str, Any]]:
        """A flat row for each text."""
        for text in self.texts:
            yield {**self.clip, **text}


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a format writes, and what rows it will be given."""

    folder: Folder
    name: str
    """Of the file; empty for formats that are folders."""
    clip_schema: pa.Schema
    text_schema: pa.Schema
    title: str = ""
    question: str = ""
    tar_mb: int = 0
    notes: dict[str, Any] = field(default_factory=dict)
    """What a format wants said of the export, by name."""

    @property
    def schema(self) -> pa.Schema:
        """Of flat rows."""
        return pa.schema([*self.clip_schema, *self.text_schema])

    @contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """A local path to write; what is there at the end is published under `name`, whole or not
        at all."""
        if self.folder.is_local:
            with whole(self.folder.path(name)) as path:
                yield path
            return
        with tempfile.TemporaryDirectory(prefix="mama-augment-") as scratch:
            path = Path(scratch) / "file"
            yield path
            self.folder.write_file(name, path)


Add = Callable[[Example], None]


@dataclass(frozen=True, kw_only=True)
class Format:
    """A variant of `--format`."""

    help: str
    is_folder: bool
    media: tuple[str, ...]
    """What it may hold beside texts, the default first: none, frames, clip."""
    writer: Callable[[Target], AbstractContextManager[Add]]
    """Gives what to call with each example; what was added is whole when the block ends."""
    takes_frames: bool = False
    """It writes `Example.frames` itself."""
