"""Conversations to fine-tune a vision-language model on, as ShareGPT and LLaMA-Factory have them.

data.json           [{"id", "conversations": [{"from": "human", …}, {"from": "gpt", …}],
                      "images": [...] or "videos": [...]}, …], one for each text
dataset_info.json   what LLaMA-Factory needs to know of data.json
media/…             key frames or clips
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mama_augment.people.export.formats.base import Add, Example, Format, Target
from mama_augment.people.export.formats.jsonl_file import to_json

DATA_NAME = "data.json"
INFO_NAME = "dataset_info.json"
MEDIA_FOLDER = "media"


@contextmanager
def write_sharegpt(target: Target) -> Iterator[Add]:
    """Without media, `videos` names the whole video, with the clip's span beside it."""
    num_written = 0
    with target.file(DATA_NAME) as path, path.open("w", encoding="utf-8") as stream:
        stream.write("[")

        def add(example: Example) -> None:
            nonlocal num_written
            files = _save(target, example)
            for index, text in enumerate(example.texts):
                if text["text"] is None:
                    continue
                content = conversation(example, index, files, target.question)
                stream.write((",\n" if num_written else "\n") + to_json(content))
                num_written += 1

        yield add
        stream.write("\n]\n")
    info = {
        "clips": {
            "file_name": DATA_NAME,
            "formatting": "sharegpt",
            "columns": {"messages": "conversations", "images": "images", "videos": "videos"},
        }
    }
    target.folder.write_bytes(INFO_NAME, json.dumps(info, indent=1).encode())


def conversation(example: Example, index: int, files: list[str], question: str) -> dict[str, Any]:
    """One text of a clip as an answer. files: of the clip, relative to data.json."""
    clip = example.clip
    images = [name for name in files if name.endswith(".jpg")]
    videos = [name for name in files if name not in images]
    if not files and clip.get("video"):
        videos = [clip["video"]]
    marks = "<image>" * len(images) + "<video>" * len(videos)
    asked = f"{marks}\n{question}" if marks else question
    span = {}
    if videos and not files:
        span = {name: clip.get(name) for name in ("start_seconds", "end_seconds")}
    return {
        "id": f"{clip['clip_id']}-{index}",
        "conversations": [
            {"from": "human", "value": asked},
            {"from": "gpt", "value": example.texts[index]["text"]},
        ],
        "images": images or None,
        "videos": videos or None,
        **span,
    }


def _save(target: Target, example: Example) -> list[str]:
    names = []
    for number, file in enumerate(example.media):
        name = f"{MEDIA_FOLDER}/{example.number // 1000:06d}/{example.key}-{number:02d}"
        names.append(f"{name}.{file.suffix}")
        target.folder.write_bytes(names[-1], file.data)
    return names


SHAREGPT = Format(
    help="conversations to fine-tune a vision-language model on",
    is_folder=True,
    media=("frames", "clip", "none"),
    writer=write_sharegpt,
)
