"""What lies where in a step's directory, and how its Parquet files are made."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.parquet as pq

from mama_augment.core import schema
from mama_augment.core.store.lock import is_lock, is_sight

MANIFEST_NAME = "manifest.json"
JOURNAL_FOLDER = "journal"
"""Where a step keeps what is finished of units that are not committed."""
INPUT_FOLDER = "input"
"""Where a step keeps what it knows of its input."""
REJECTS_FOLDER = "rejects"
CUTS_FOLDER = "cuts"
"""Where videos are cut into clips."""
ROW_GROUP_BYTES = 64 * 2**20


UNIT_FILE = re.compile(
    rf"(?:(?:{'|'.join((REJECTS_FOLDER, *schema.SPLITS))})/)?[^/]*-[0-9a-f]{{12}}\.parquet"
)
KEPT_FILE = re.compile(
    rf"units/.*\.json|{JOURNAL_FOLDER}/[^/]*\.jsonl|"
    rf"{INPUT_FOLDER}/clips-[0-9]+-[0-9a-f]{{12}}\.parquet|"
    rf"{CUTS_FOLDER}/[0-9a-f]{{16}}-[0-9a-f]{{16}}\.parquet"
)


OWN_FOLDER = re.compile(
    "|".join(
        (
            *(r"units(?:/[0-9]{3,})?", REJECTS_FOLDER, JOURNAL_FOLDER, INPUT_FOLDER, CUTS_FOLDER),
            *schema.SPLITS,
        )
    )
)


def is_own_folder(name: str) -> bool:
    """Whether a relative name is that of a folder that steps write to; no other is looked into."""
    return OWN_FOLDER.fullmatch(name) is not None


def is_unit_file(name: str) -> bool:
    """Whether a relative name is one that units publish their rows under."""
    return UNIT_FILE.fullmatch(name) is not None


def is_own_file(name: str) -> bool:
    """Whether a relative name is one that steps write, the manifest apart; what else lies in the
    directory is somebody's own, and is never deleted."""
    return is_unit_file(name) or KEPT_FILE.fullmatch(name) is not None


def is_temporary(name: str) -> bool:
    """Whether a relative name is one that `Folder.write_bytes` renames when it is done."""
    base = name.rsplit("/", 1)[-1]
    return (base.startswith(".") and base.endswith(".tmp")) or is_sight(name)


def is_passing(name: str) -> bool:
    """Whether a file may lie where nothing was begun yet: a lock, or a manifest cut short."""
    return is_lock(name) or (is_temporary(name) and name.startswith(f".{MANIFEST_NAME}."))


def parquet_bytes(table: pa.Table) -> pa.Buffer:
    """One Parquet file, zstd, row groups of at most about 64 MB; the same bytes every time."""
    rows_per_group = max(1, int(ROW_GROUP_BYTES * table.num_rows / max(1, table.nbytes)))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", row_group_size=rows_per_group)
    return sink.getvalue()
