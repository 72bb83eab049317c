"""Write captions or shards in another format, with every text accounted for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mama_augment.core.errors import InputError
from mama_augment.core.store.files import Folder, output_file
from mama_augment.decode.config import LimitsConfig
from mama_augment.decode.errors import ClipError
from mama_augment.people.export.config import ExportConfig
from mama_augment.people.export.formats import FORMATS
from mama_augment.people.export.formats.base import Example, Format, Media, Target
from mama_augment.people.export.source import Source
from mama_augment.runtime.isolate import IsolationError

MARK_NAME = "export.json"
"""Says that a folder is an export of ours, and whether it is complete."""
NUM_EXAMPLES = 3


@dataclass(frozen=True, kw_only=True)
class Exported:
    """in = written + left out, in texts."""

    num_in: int
    num_written: int
    num_clips: int
    left_out: dict[str, int]
    """Texts by reason: `other_status`, `no_clip`, or why a clip could not be cut."""
    problems: tuple[str, ...]
    """The first few clips that could not be cut."""
    notes: dict[str, Any]

    @property
    def exit_code(self) -> int:
        """1 where clips are missing from the export that were asked for."""
        return int(any(n for reason, n in self.left_out.items() if reason != "other_status"))


def export(
    directory: str,
    out: str,
    config: ExportConfig,
    *,
    overwrite: bool = False,
    on_texts: Callable[[int], None] = lambda number: None,
) -> Exported:
    """Export a captions or shards directory to the file or folder `out`.

    on_texts: called with numbers of texts that are done.

    Raises:
        InputError: the directory, the clips or `out` are not what they should be.
        OSError: the disk or the object store is full, read-only or gone.
    """
    format = FORMATS[config.format]
    source = Source.open(directory, config)
    target = _target(out, format, source, config, overwrite=overwrite)
    num_written = num_clips = 0
    problems: list[str] = []
    wants_frames = format.takes_frames or config.media_kind == "frames"
    with _cutter(config.media_kind) as cut_clip, format.writer(target) as add:
        for example in source.examples(with_frames=wants_frames):
            try:
                if cut_clip is not None:
                    _add_clip(example, cut_clip)
                elif config.media_kind == "frames" and not format.takes_frames:
                    example.media = [Media(suffix="jpg", data=data) for data in example.frames]
            except ClipError as error:
                source.left_out[error.reason] += len(example.texts)
                if len(problems) < NUM_EXAMPLES:
                    problems.append(f"clip {example.clip['clip_id']}: {error.message}")
            else:
                add(example)
                num_clips += 1
                num_written += len(example.texts)
            on_texts(len(example.texts))
    exported = Exported(
        num_in=source.num_texts,
        num_written=num_written,
        num_clips=num_clips,
        left_out={reason: n for reason, n in source.left_out.items() if n},
        problems=tuple(problems),
        notes=target.notes,
    )
    left = Counter(exported.left_out).total()
    assert exported.num_in == num_written + left, (exported.num_in, num_written, left)
    if format.is_folder:
        _mark(target.folder, exported, config)
    return exported


CutClip = Callable[[str, float | None, float | None], Any]


@contextmanager
def _cutter(kind: str) -> Iterator[CutClip | None]:
    """What cuts clips out of videos, in a process of its own; None where none are wanted."""
    if kind != "clip":
        yield None
        return
    from mama_augment.decode.isolated import IsolatedDecoder
    from mama_augment.decode.remux import CUT_CLIP
    from mama_augment.decode.remux import CutClip as Cut

    cutter = IsolatedDecoder(CUT_CLIP, LimitsConfig(), Cut)
    try:
        yield cutter
    finally:
        cutter.close()


def _add_clip(example: Example, cut_clip: CutClip) -> None:
    """
    Raises:
        ClipError: the clip cannot be cut out of its video.
    """
    clip = example.clip
    if clip["video"] is None:
        raise ClipError("missing", "its clip is not in the clips directory")
    try:
        cut = cut_clip(clip["video"], clip["start_seconds"], clip["end_seconds"])
    except IsolationError as error:
        raise ClipError(error.reason, error.message) from error
    example.media = [Media(suffix=cut.suffix, data=cut.data)]
    example.media_seconds = (cut.first_seconds, cut.last_seconds)


def _target(
    out: str, format: Format, source: Source, config: ExportConfig, *, overwrite: bool
) -> Target:
    if format.is_folder:
        folder, name = Folder(out), ""
        _make_room(folder, out, overwrite=overwrite)
    else:
        folder, name = output_file(out)
        if folder.size_bytes(name) is not None and not overwrite:
            raise InputError(f"--out is {out!r}, which is there; give another, or --overwrite")
    what = "Balanced, captioned video clips" if source.is_shards else "Captioned video clips"
    target = Target(
        folder=folder,
        name=name,
        clip_schema=source.clip_schema,
        text_schema=source.text_schema,
        title=what,
        question=config.question,
        tar_mb=config.tar_mb,
    )
    if format.is_folder:
        folder.write_bytes(MARK_NAME, json.dumps({"complete": False}).encode())
    return target


def _make_room(folder: Folder, out: str, *, overwrite: bool) -> None:
    """Empty the folder of an earlier export, where that is asked for.

    Raises:
        InputError: it holds something, or is a file.
    """
    if folder.size_bytes("") is not None:
        raise InputError(f"--out is {out!r}, a file; this format needs a folder")
    names = list(folder.sizes_bytes(recursive=True))
    if not names:
        return
    if MARK_NAME not in names:
        raise InputError(
            f"--out is {out!r}, which is not empty and is not an export (found "
            f"{', '.join(names[:3])}); give a new folder"
        )
    if not overwrite:
        done = json.loads(folder.read_bytes(MARK_NAME)).get("complete")
        state = "an export" if done else "an export that was cut short"
        raise InputError(f"--out is {out!r}, which holds {state}; give another, or --overwrite")
    for name in names:
        if name != MARK_NAME:
            folder.delete(name)


def _mark(folder: Folder, exported: Exported, config: ExportConfig) -> None:
    content = {
        "complete": True,
        "format": config.format,
        "media": config.media_kind,
        "texts": exported.num_written,
        "clips": exported.num_clips,
        "left_out": exported.left_out,
        **exported.notes,
    }
    folder.write_bytes(MARK_NAME, json.dumps(content, indent=1).encode())


def push(folder: str, repository: str, *, public: bool) -> str:
    """Upload an `hf` folder to the hub, and return its address there.

    Raises:
        InputError: the hub refuses, or cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi()
    try:
        made = api.create_repo(repository, repo_type="dataset", private=not public, exist_ok=True)
        api.upload_folder(
            folder_path=folder,
            repo_id=repository,
            repo_type="dataset",
            ignore_patterns=[MARK_NAME],
            commit_message="Export of mama-augment",
        )
    except HfHubHTTPError as error:
        raise InputError(
            f"--push {repository}: the hub answered {str(error).splitlines()[0]}. The folder "
            f"{folder!r} is complete; `hf upload {repository} {folder} --repo-type dataset` "
            "uploads it by hand"
        ) from error
    return str(made)
