"""Texts to look at: files of lines or tables, and outputs of `keyframes` and `caption`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from mama_augment.core.errors import InputError
from mama_augment.core.store.files import Folder, folder_and_name
from mama_augment.core.store.layout import MANIFEST_NAME
from mama_augment.core.store.step_dir import StepDir

BATCH = 40_000
COLUMN = "text"


@dataclass(frozen=True, kw_only=True)
class TextBatch:
    """Texts, and for each the value of its clip's concept column (None without one)."""

    texts: Sequence[str]
    values: Sequence[Any] = field(default_factory=tuple)


TextBatches = Callable[[], Iterator[TextBatch]]
"""Starts a pass over all texts; called once per pass, so that no pass holds them in memory."""


def read_texts(uris: Sequence[str]) -> list[str]:
    """All texts of files (.txt: one a line; .csv, .tsv, .parquet: the column `text`) and of
    directories, in their order; blank ones are left out.

    Raises:
        InputError: nothing there, another format, no such column, or no text at all.
    """
    texts = [text for uri in uris for text in _texts_of(uri) if text and text.strip()]
    if not texts:
        raise InputError(f"{', '.join(uris)}: no text is there")
    return texts


def batches_of(texts: Sequence[str]) -> TextBatches:
    """A stream of texts that are held in memory."""

    def batches() -> Iterator[TextBatch]:
        for start in range(0, len(texts), BATCH):
            part = texts[start : start + BATCH]
            yield TextBatch(texts=part, values=[None] * len(part))

    return batches


def _texts_of(uri: str) -> list[str]:
    if Folder(uri).exists(MANIFEST_NAME):
        return _texts_of_step(StepDir.open(uri))
    source, name = folder_and_name(uri)
    if source.size_bytes(name) is None:
        raise InputError(
            f"{uri!r}: no such file, and no output of `mama-augment keyframes` or `caption`"
        )
    suffix = name.rpartition(".")[2].lower()
    if suffix == "txt":
        return source.read_bytes(name).decode("utf-8-sig").splitlines()
    if suffix not in ("csv", "tsv", "parquet"):
        raise InputError(f"{uri!r}: allowed are .txt, .csv, .tsv and .parquet files, and outputs")
    try:
        table = _table(source, name, suffix)
    except pa.ArrowException as error:
        raise InputError(f"{uri!r} cannot be read as {suffix}: {error}") from error
    if COLUMN not in table.schema.names:
        raise InputError(
            f"{uri!r} has no column {COLUMN!r}; it has {', '.join(table.schema.names)}"
        )
    return [str(text) for text in table[COLUMN].to_pylist() if text is not None]


def _table(source: Folder, name: str, suffix: str) -> pa.Table:
    with source.open_input(name) as stream:
        if suffix == "parquet":
            return pq.read_table(stream)
        parse = pa_csv.ParseOptions(
            delimiter="\t" if suffix == "tsv" else ",", newlines_in_values=True
        )
        return pa_csv.read_csv(stream, parse_options=parse)


def _texts_of_step(step_dir: StepDir) -> list[str]:
    if step_dir.step == "caption":
        tables = step_dir.tables(["text", "status"])
        rows = (row for table in tables for row in table.to_pylist())
        return [row["text"] for row in rows if row["status"] == "ok"]
    if step_dir.step == "keyframes":
        lists = (own for table in step_dir.tables(["texts"]) for own in table["texts"].to_pylist())
        return [text["text"] for own in lists for text in own or ()]
    raise InputError(
        f"{step_dir.folder.uri!r} holds the output of `mama-augment {step_dir.step}`; outputs of "
        "keyframes and of caption have texts"
    )
