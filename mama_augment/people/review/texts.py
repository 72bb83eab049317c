"""All texts of clips and captions as one Parquet file to search in: a row per text, no pixels.

Filtering and sorting read the columns that they need, a batch at a time, so that a million texts
need no memory. The file lies in a scratch folder for as long as the page is open.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from mama_augment.balance.source.inputs import Inputs
from mama_augment.concepts import FittedAssigner, TextBatch
from mama_augment.core.errors import check_choice
from mama_augment.core.schema import GENERATED_PREFIX

TEXTS = pa.schema(
    [
        pa.field("number", pa.int64()),
        pa.field("clip_id", pa.string()),
        pa.field("video_uri", pa.string()),
        pa.field("split", pa.string()),
        pa.field("source", pa.string()),
        pa.field("caption_index", pa.int32()),
        pa.field("text", pa.string()),
        pa.field("raw_text", pa.string()),
        pa.field("status", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("trusted", pa.bool_()),
        pa.field("num_words", pa.int32()),
        pa.field("agreement", pa.float32()),
        pa.field("concepts", pa.string()),
    ]
)
"""`concepts` is `;3;17;`: a filter on Parquet can look for `;3;`."""
ROWS_PER_GROUP = 20_000
SORTS = ("order", "words", "agreement", "text")
FILTERS = ("split", "status", "reason", "source")
"""Columns that a filter compares whole values of."""
FIT_TEXTS = 40_000

Agreement = Callable[[str, str], float | None]
"""From a clip's id and a text to how well they agree, where that was scored."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """What is looked for."""

    text: str = ""
    equal: Mapping[str, str] = field(default_factory=dict)
    """Values of `FILTERS`; an empty one is a missing value."""
    concept: int | None = None
    min_agreement: float | None = None
    max_agreement: float | None = None
    min_words: int | None = None
    max_words: int | None = None
    numbers: Sequence[int] | None = None
    """Only these texts."""
    sort: str = "order"
    descending: bool = False

    def __post_init__(self) -> None:
        check_choice("sort", self.sort, SORTS)

    def expression(self) -> pads.Expression:
        """For a scan."""
        found = pads.scalar(True)
        if self.text:
            found &= pc.match_substring(pads.field("text"), self.text, ignore_case=True)
        for name, value in self.equal.items():
            assert name in FILTERS, name
            column = pads.field(name)
            found &= column.is_null() if value == "" else column == value
        if self.concept is not None:
            found &= pc.match_substring(pads.field("concepts"), f";{self.concept};")
        for name, column_name in (("agreement", "agreement"), ("words", "num_words")):
            low, high = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if low is not None:
                found &= pads.field(column_name) >= low
            if high is not None:
                found &= pads.field(column_name) <= high
        if self.numbers is not None:
            found &= pads.field("number").isin(list(self.numbers))
        return found


@dataclass(frozen=True, kw_only=True)
class TextIndex:
    """The file, and the concepts that its numbers are of."""

    path: Path
    names: Sequence[str]

    @property
    def dataset(self) -> pads.Dataset:
        return pads.dataset(self.path, format="parquet", schema=TEXTS)

    def find(self, query: Query, offset: int, limit: int) -> tuple[int, list[dict[str, Any]]]:
        """(how many there are, one page of them)."""
        column = {"order": "number", "words": "num_words"}.get(query.sort, query.sort)
        columns = list(dict.fromkeys(["number", column]))
        total, best = 0, pa.table({n: pa.array([], TEXTS.field(n).type) for n in columns})
        keys = [(column, "descending" if query.descending else "ascending")]
        keys += [("number", "ascending")] if column != "number" else []
        for batch in self.dataset.to_batches(columns=columns, filter=query.expression()):
            total += batch.num_rows
            if batch.num_rows:
                best = pa.concat_tables([best, pa.Table.from_batches([batch])])
                best = best.take(pc.sort_indices(best, keys)[: offset + limit])
        numbers = best["number"].to_pylist()[offset:]
        return total, self.rows(numbers)

    def rows(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """Texts by their numbers, in their sequence; those that are there."""
        found = self.dataset.to_table(filter=Query(numbers=numbers).expression())
        by_number = {row["number"]: row for row in found.to_pylist()}
        return [by_number[number] for number in numbers if number in by_number]

    def of_clip(self, clip_id: str) -> list[dict[str, Any]]:
        """All texts of a clip."""
        rows: list[dict[str, Any]] = self.dataset.to_table(
            filter=pads.field("clip_id") == clip_id
        ).to_pylist()
        return rows

    @cached_property
    def choices(self) -> Mapping[str, list[str]]:
        """The values that each filter can have."""
        seen: dict[str, set[str]] = {name: set() for name in FILTERS}
        for batch in self.dataset.to_batches(columns=list(FILTERS)):
            for name in FILTERS:
                seen[name].update(value or "" for value in pc.unique(batch[name]).to_pylist())
        return {name: sorted(values) for name, values in seen.items()}

    @cached_property
    def concept_counts(self) -> list[int]:
        """Texts that are ok of each concept."""
        counts = np.zeros(len(self.names), np.int64)
        is_ok = pads.field("status") == "ok"
        for batch in self.dataset.to_batches(columns=["concepts"], filter=is_ok):
            for ids in map(parse_ids, batch["concepts"].to_pylist()):
                counts[ids] += 1
        return list(counts.tolist())


def parse_ids(text: str) -> list[int]:
    """From `;3;17;`."""
    return [int(part) for part in text.split(";") if part]


def fit_sample(inputs: Inputs, seed: int) -> Iterator[TextBatch]:
    """Up to `FIT_TEXTS` texts that are ok, drawn evenly, to find concepts in."""
    draws = random.Random(seed)
    kept: list[str] = []
    num_seen = 0
    for table in _rows(inputs):
        for text, status in zip(*(table[n].to_pylist() for n in ("text", "status")), strict=True):
            if status != "ok" or not text:
                continue
            num_seen += 1
            if len(kept) < FIT_TEXTS:
                kept.append(text)
            elif (place := draws.randrange(num_seen)) < FIT_TEXTS:
                kept[place] = text
    yield TextBatch(texts=kept, values=[None] * len(kept))


def write_index(
    inputs: Inputs, path: Path, assigner: FittedAssigner, agreement: Agreement | None = None
) -> TextIndex:
    """Write every text of the clips and captions directories."""
    first = 0
    with pq.ParquetWriter(path, TEXTS, compression="zstd") as writer:
        for table in _gathered(_rows(inputs)):
            writer.write_table(_completed(table, first, assigner, agreement))
            first += table.num_rows
    return TextIndex(path=path, names=list(assigner.names))


def _completed(
    table: pa.Table, first: int, assigner: FittedAssigner, agreement: Agreement | None
) -> pa.Table:
    texts = pc.fill_null(table["text"], "").to_pylist()
    ids = assigner.assign(TextBatch(texts=texts, values=[None] * len(texts)))
    words = pc.list_value_length(pc.utf8_split_whitespace(pc.utf8_trim_whitespace(table["text"])))
    ids_of = table["clip_id"].to_pylist()
    pairs = zip(ids_of, texts, strict=True)
    scores = [agreement(*pair) for pair in pairs] if agreement else [None] * len(texts)
    more = {
        "number": pa.array(range(first, first + len(texts)), pa.int64()),
        "num_words": words,
        "agreement": pa.array(scores, pa.float32()),
        "concepts": pa.array([f";{';'.join(map(str, some))};" if some else "" for some in ids]),
    }
    columns = [more[f.name] if f.name in more else table[f.name] for f in TEXTS]
    return pa.table([c.cast(f.type) for c, f in zip(columns, TEXTS, strict=True)], schema=TEXTS)


def _gathered(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Row groups of one size, whatever the size of units."""
    some: list[pa.Table] = []
    for table in tables:
        some.append(table)
        if sum(map(len, some)) >= ROWS_PER_GROUP:
            yield pa.concat_tables(some).combine_chunks()
            some = []
    if some:
        yield pa.concat_tables(some).combine_chunks()


_READ = ("clip_id", "video_uri", "split", "source", "caption_index", "text", "raw_text")
_ROW = pa.schema([f for f in TEXTS if f.name in (*_READ, "status", "reason", "trusted")])


def _rows(inputs: Inputs) -> Iterator[pa.Table]:
    """Given texts, then generated ones."""
    split_of: dict[str, str] = {}
    for table in inputs.clips.tables(["clip_id", "video_uri", "split", "texts"]):
        held = table.filter(pc.is_valid(table["split"]))
        split_of.update(zip(*(held[n].to_pylist() for n in ("clip_id", "split")), strict=True))
        yield _given(table.combine_chunks())
    columns = ["clip_id", "video_uri", "caption_index", "text", "raw_text", "status", "reason"]
    for captions in inputs.captions:
        for table in captions.tables([*columns, "model"]):
            source = pc.binary_join_element_wise(GENERATED_PREFIX, table["model"], "")
            splits = [split_of.get(clip_id) for clip_id in table["clip_id"].to_pylist()]
            made = {
                **{name: table[name] for name in columns},
                "split": pa.array(splits, pa.string()),
                "source": source,
                "trusted": pa.array([False] * len(table)),
            }
            yield pa.table([made[f.name].cast(f.type) for f in _ROW], schema=_ROW)


def _given(table: pa.Table) -> pa.Table:
    """A row per text that came with a clip."""
    lists = table["texts"].combine_chunks()
    parents = pc.list_parent_indices(lists)
    flat = pc.list_flatten(lists)
    starts = np.asarray(lists.offsets)[:-1] - lists.offsets[0].as_py()
    index = np.arange(len(flat)) - starts[np.asarray(parents)]
    own = table.select(["clip_id", "video_uri", "split"]).take(parents)
    made = {
        **{name: own[name] for name in own.column_names},
        **{name: pc.struct_field(flat, name) for name in ("text", "source", "trusted")},
        "caption_index": pa.array(index, pa.int32()),
        "status": pa.array(["ok"] * len(flat)),
    }
    nothing = pa.nulls(len(flat), pa.string())
    return pa.table([made.get(f.name, nothing).cast(f.type) for f in _ROW], schema=_ROW)
