"""Read an input manifest (csv, tsv, json, jsonl, parquet): known columns typed, others as given."""

from __future__ import annotations

import errno
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.types as pt

from mama_augment.core.address import shown
from mama_augment.core.errors import InputError, did_you_mean
from mama_augment.core.store.files import Folder
from mama_augment.inputs.table.columns import give_back
from mama_augment.inputs.table.config import ManifestConfig
from mama_augment.inputs.table.csv_file import read_csv
from mama_augment.inputs.table.json_file import read_json, read_jsonl
from mama_augment.inputs.table.notes import Notes
from mama_augment.inputs.table.parquet_file import read_parquet
from mama_augment.inputs.table.source import Source
from mama_augment.inputs.table.typed import KNOWN_COLUMNS, check_writable, is_list, typed

MANIFEST_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
VIDEO_NAMES = (
    *("path", "file", "filename", "file_name", "filepath", "file_path", "video_path", "videos"),
    *("video_file", "video_name", "video_id", "clip", "clip_path", "uri", "url", "mp4"),
)
"""What others call the column of videos …"""
TEXT_NAMES = (
    *("text", "texts", "caption", "captions", "sentence", "sentences", "description", "desc"),
    *("name", "title", "label", "query", "transcript", "narration", "summary", "prompt"),
)
"""… and of texts."""
TIME_NAMES = {
    "start_seconds": ("start", "start_time", "start_sec", "begin", "from"),
    "end_seconds": ("end", "end_time", "end_sec", "stop", "to"),
}


@dataclass(kw_only=True)
class Rows:
    """A manifest's columns, all of one length. Who uses a column takes it out, so that it goes."""

    known: dict[str, pa.ChunkedArray]
    """By the names of KNOWN_COLUMNS, with their types (`text` may be a list of several)."""
    extra: dict[str, pa.ChunkedArray]
    """As they are."""

    @classmethod
    def of(cls, table: pa.Table) -> Rows:
        """Columns that have their names and types already."""
        columns = dict(zip(table.column_names, table.columns, strict=True))
        return cls(
            known={name: columns.pop(name) for name in KNOWN_COLUMNS if name in columns},
            extra=columns,
        )


def read_manifest(
    folder: Folder, name: str, config: ManifestConfig | None = None, notes: Notes | None = None
) -> Rows:
    """The manifest's rows. Empty csv fields are nulls.

    What is read is held as Arrow columns only, a block at a time before that.

    Raises:
        InputError: the file cannot be read or is beyond the limits, has no column of videos or no
            rows, or a value of a known column has the wrong type.
    """
    config, notes = config or ManifestConfig(), notes or Notes()
    where = shown(f"{folder}/{name}")
    try:
        table = _read(folder, name, config, notes)
        for field in table.schema:
            check_writable(field.name, field.type)
    except InputError:
        raise
    except (ValueError, TypeError, OverflowError, RecursionError, pa.ArrowException) as error:
        raise InputError(f"{where}: cannot be read as a manifest: {error}") from error
    except OSError as error:
        if error.errno in errno.errorcode:  # the disk's fault
            raise
        raise InputError(f"{where}: cannot be read as a manifest: {error}") from error
    if len(set(table.column_names)) < table.num_columns:
        raise InputError(f"{where}: a column name is used twice: {', '.join(table.column_names)}")
    columns = dict(zip(table.column_names, table.columns, strict=True))
    num_rows = table.num_rows
    del table  # so that a column's first form goes when it has its type
    taken = _taken(columns, config, where)
    if not num_rows:
        raise InputError(f"{where}: the manifest has no rows")
    known = {}
    for column, source in taken.items():
        known[column] = typed(columns.pop(source), column, where)
    _remark_texts(columns, "text" in known, notes)
    _remark_unread(columns, known, notes)
    give_back()
    return Rows(known=known, extra=columns)


def _read(folder: Folder, name: str, config: ManifestConfig, notes: Notes) -> pa.Table:
    suffix = name.lower().rpartition(".")[2]
    source = Source(folder, name, config.encoding)
    if suffix == "parquet":
        with source.raw() as stream:
            return read_parquet(stream, config.limits, notes)
    if suffix in ("csv", "tsv"):
        return read_csv(source, config.limits, delimiter="\t" if suffix == "tsv" else None)
    return (read_json if suffix == "json" else read_jsonl)(source, config.limits, notes)


def _taken(
    columns: dict[str, pa.ChunkedArray], config: ManifestConfig, where: str
) -> dict[str, str]:
    """By known column, the manifest's column that is it."""
    chosen = {"video": config.video_column, "text": config.text_column}
    for known, column in chosen.items():
        if column is not None and column not in columns:
            raise InputError(
                f"{where}: there is no column {column!r} (--{known}-column); "
                f"{did_you_mean(column, list(columns), 'its columns')}"
            )
    named = {known: chosen.get(known) or known for known in KNOWN_COLUMNS}
    if named["video"] not in columns:
        near = [name for name in columns if name.strip().lower() in ("video", *VIDEO_NAMES)]
        hint = f"; --video-column {_quoted(near[0])} takes that one" if near else ""
        names = ", ".join(map(_bare, columns)) or "none"
        raise InputError(f"{where}: no column `video`; its columns are {names}{hint}")
    return {known: column for known, column in named.items() if column in columns}


def _remark_texts(extra: dict[str, pa.ChunkedArray], has_texts: bool, notes: Notes) -> None:
    """Say which columns look like texts and are not taken as such."""
    for name, column in extra.items():
        type_ = column.type
        kind = type_.value_type if is_list(type_) or pt.is_dictionary(type_) else type_
        if name.strip().lower() in TEXT_NAMES and (pt.is_string(kind) or pt.is_large_string(kind)):
            instead = " instead" if has_texts else ""
            notes.remark(
                f"the column {_quoted(name)} looks like texts and is carried along unread; "
                f"--text-column {_quoted(name)} takes it{instead}"
            )


def _remark_unread(
    extra: dict[str, pa.ChunkedArray], known: dict[str, pa.ChunkedArray], notes: Notes
) -> None:
    """Say which columns are nearly called as one that would be read."""
    for name in extra:
        word = name.strip().lower().replace(" ", "_")
        for column in KNOWN_COLUMNS:
            is_near = word == column or word in TIME_NAMES.get(column, ())
            if is_near and column not in known and column != "text":
                notes.remark(
                    f"the column {_quoted(name)} is carried along unread; call it {column} if it "
                    "is that"
                )


def _quoted(name: str) -> str:
    return name if name.isidentifier() else repr(name)


def _bare(name: str) -> str:
    return name if name == name.strip() else repr(name)
