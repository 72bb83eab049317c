"""Tars of samples for WebDataset: files with one key are one sample, one clip each.

000000017.json        the clip's columns, and all its texts
000000017.txt         its first text
000000017.00.jpg …    its key frames; or 000000017.mp4, the clip
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from mama_augment.people.export.formats.base import Add, Example, Format, Target
from mama_augment.people.export.formats.jsonl_file import to_json

BLOCK_BYTES = 512


class _Tars:
    """The tar that is open, and how full it is."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._most_bytes = target.tar_mb * 2**20
        self._open = ExitStack()
        self._tar: tarfile.TarFile | None = None
        self._num_bytes = 0
        self.num_tars = 0

    def add(self, example: Example) -> None:
        """Write a clip's files; they are never in two tars."""
        files = sample_files(example)
        size = sum(len(data) + 2 * BLOCK_BYTES for _, data in files)
        if self._tar is None or (self._num_bytes and self._num_bytes + size > self._most_bytes):
            self.close()
            path = self._open.enter_context(self._target.file(f"{self.num_tars:06d}.tar"))
            tar = tarfile.open(path, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115
            self._tar = self._open.enter_context(tar)
            self.num_tars += 1
            self._num_bytes = 0
        self._num_bytes += size
        for name, data in files:
            member = tarfile.TarInfo(name)  # its time is 0: the same rows give the same bytes
            member.size = len(data)
            self._tar.addfile(member, io.BytesIO(data))

    def close(self) -> None:
        self._open.close()
        self._tar = None

    def discard(self, error: BaseException) -> None:
        """Nothing is published of the tar that is open."""
        self._open.__exit__(type(error), error, error.__traceback__)


def sample_files(example: Example) -> list[tuple[str, bytes]]:
    """(name, content) of a clip's files."""
    content = {**example.clip, "texts": [_present(text) for text in example.texts]}
    if example.frame_seconds:
        content["frame_seconds"] = list(example.frame_seconds)
    if example.media_seconds is not None:
        content["media_seconds"] = list(example.media_seconds)
    texts = [text["text"] for text in example.texts if text["text"] is not None]
    is_one = len(example.media) == 1 and example.media[0].suffix != "jpg"
    return [
        (f"{example.key}.json", to_json(content).encode()),
        (f"{example.key}.txt", "".join(texts[:1]).encode()),
        *(
            (f"{example.key}.{'' if is_one else f'{i:02d}.'}{file.suffix}", file.data)
            for i, file in enumerate(example.media)
        ),
    ]


def _present(text: object) -> object:
    return {k: v for k, v in text.items() if v is not None} if isinstance(text, dict) else text


@contextmanager
def write_tars(target: Target) -> Iterator[Add]:
    """`000000.tar`, `000001.tar`, …, each of about `tar_mb` MiB."""
    tars = _Tars(target)
    try:
        yield tars.add
    except BaseException as error:
        tars.discard(error)
        raise
    tars.close()
    target.notes["tars"] = tars.num_tars


WEBDATASET = Format(
    help="tars of samples, with key frames or the cut clip",
    is_folder=True,
    media=("frames", "clip", "none"),
    writer=write_tars,
)
