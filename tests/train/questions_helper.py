"""Shards of moving squares with questions about them, made in a moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mama_augment.core.schema import CLIP_EXTRAS
from tests.train.shards_helper import COLOURS, WAYS, write_shards


def asked_about(clip: str, colour: str, way: str, number: int) -> list[dict[str, Any]]:
    """Four questions about one clip: open with options, two that belong together, one of an answer
    that occurs once, one whose answer nobody knows."""
    ways, colours = list(WAYS), list(COLOURS)
    common = {"question_group": None, "answer_index": None, "options": None}
    return [
        {
            **common,
            "question_id": f"{clip}-0",
            "question": "what colour is it?",
            "options": colours,
            "answer": colour,
            "answer_index": colours.index(colour),
            "type": "pa",
            "question_group": "p",
        },
        {
            **common,
            "question_id": f"{clip}-1",
            "question": "where does it go?",
            "options": [f"to the {w}" for w in ways],
            "answer": f"to the {way}",
            "answer_index": ways.index(way),
            "type": "pr",
            "question_group": "p",
        },
        {
            **common,
            "question_id": f"{clip}-2",
            "question": "what number is it?",
            "answer": f"number {number}",
            "type": "d",
        },
        {
            **common,
            "question_id": f"{clip}-3",
            "question": "who knows?",
            "type": "d",
            "answer": None,
        },
    ]


def write_question_shards(out: Path, sizes: dict[str, int], **how: Any) -> Path:
    """`write_shards` with the questions above about every clip but the last of each split."""
    write_shards(out, sizes, **how)
    for file in sorted(out.glob("*/*.parquet")):
        table = pq.read_table(file)
        questions = []
        for row in table.to_pylist():
            number = int(row["clip_id"].split("-")[1])
            _, colour, _, _, way, *_ = row["captions"][0]["text"].split()
            is_last = number == sizes[row["split"]] - 1
            about = asked_about(row["clip_id"], colour, way, number)
            questions.append(None if is_last else about)
        column = pa.array(questions, CLIP_EXTRAS.field("questions").type)
        place = table.schema.get_field_index("captions")
        table = table.add_column(place, CLIP_EXTRAS.field("questions"), column)
        pq.write_table(table, file, row_group_size=8)
    return out
