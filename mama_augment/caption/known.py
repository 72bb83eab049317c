"""Captions that are there already, found by their key, however many there are."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mama_augment.caption.engines.base import Completion
from mama_augment.caption.journal import Journal
from mama_augment.core.store.committed import CommittedUnit, in_order
from mama_augment.core.store.step_dir import StepDir

TEXT_COLUMNS = [
    "raw_text",
    "num_prompt_tokens",
    "num_output_tokens",
    "finish_reason",
    "mean_logprob",
]
UNITS_IN_MEMORY = 16
"""Units whose texts are kept; clips ask in the order in which the units were written."""

_NIBBLE = np.zeros(256, np.uint8)
_NIBBLE[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)


class Known(Protocol):
    """Finished captions by their `caption_key`; a dict is one."""

    def __contains__(self, key: object, /) -> bool: ...

    def get(self, key: str, /) -> Completion | None: ...


class FirstOf:
    """Several `Known` as one; the first that has a caption gives it."""

    def __init__(self, *layers: Known) -> None:
        self._layers = layers

    def __contains__(self, key: object) -> bool:
        return any(key in layer for layer in self._layers)

    def get(self, key: str) -> Completion | None:
        return next((layer.get(key) for layer in self._layers if key in layer), None)


def finished_captions(out: StepDir, unit_id: str, journal: Journal) -> dict[str, Completion]:
    """The captions of a unit that a rerun does not ask for again: in the journal, or committed (a
    unit that is redone for the sake of its failures, or of an input that has changed).
    """
    found = journal.read(unit_id)
    record = out.before(unit_id)
    table = out.read_data(record, [*TEXT_COLUMNS, "caption_key"]) if record is not None else None
    if table is None:
        return found
    committed = {
        row.pop("caption_key"): Completion(text=row.pop("raw_text"), **row)
        for row in table.to_pylist()
    }
    return committed | found


class CaptionIndex:
    """Every caption of a step directory, rejected ones too: they were paid for.

    20 bytes for each are in memory: its key as two sorted words, and its row. Texts are read from
    Parquet when they are asked for, a unit at a time. Where clips with the same frames share a
    key, the last one's caption counts. `get` is for one thread at a time, `in` for any.
    """

    def __init__(self, step_dir: StepDir) -> None:
        self._units = list(step_dir.units())
        self._starts = np.cumsum([0, *(unit.num_rows for unit in self._units)])
        num_rows = int(self._starts[-1])
        row_type = np.uint32 if num_rows < 2**32 else np.uint64
        self._high, self._low = np.empty(num_rows, np.uint64), np.empty(num_rows, np.uint64)
        self._rows: npt.NDArray[np.unsignedinteger] = np.empty(num_rows, row_type)
        size = 0
        keys = in_order(self._units, lambda unit: unit.table(["caption_key"]).combine_chunks())
        for number, table in enumerate(keys):
            rows, words = key_words(table["caption_key"])
            place = slice(size, size + len(rows))
            self._high[place], self._low[place] = words[:, 0], words[:, 1]
            self._rows[place] = rows + self._starts[number]
            size += len(rows)
        self._sort(size)
        self._texts: OrderedDict[int, pa.Table] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def num_bytes(self) -> int:
        """Memory of the index itself; file names and the texts of a few units come on top."""
        return self._high.nbytes + self._low.nbytes + self._rows.nbytes

    def __contains__(self, key: object) -> bool:
        return self._find(key) is not None

    def get(self, key: str) -> Completion | None:
        row = self._find(key)
        if row is None:
            return None
        unit = int(np.searchsorted(self._starts, row, side="right")) - 1
        table = self._texts_of(unit)
        place = row - int(self._starts[unit])
        text, *counts = (table[c][place].as_py() for c in TEXT_COLUMNS)
        return Completion(text=text, **dict(zip(TEXT_COLUMNS[1:], counts, strict=True)))

    def _sort(self, size: int) -> None:
        """By key; of equal keys only the last one's row stays."""
        order = np.lexsort((self._low[:size], self._high[:size]))  # stable
        self._high, self._low = self._high[order], self._low[order]
        self._rows = self._rows[order]
        del order
        differs = (self._high[1:] != self._high[:-1]) | (self._low[1:] != self._low[:-1])
        if not differs.all():
            is_last = np.append(differs, True)
            self._high, self._low = self._high[is_last], self._low[is_last]
            self._rows = self._rows[is_last]

    def _find(self, key: object) -> int | None:
        """The caption's row, counted over all units."""
        assert isinstance(key, str), key
        high, low = np.uint64(int(key[:16], 16)), np.uint64(int(key[16:], 16))
        first = int(np.searchsorted(self._high, high))
        end = int(np.searchsorted(self._high, high, side="right"))
        place = first + int(np.searchsorted(self._low[first:end], low))
        return int(self._rows[place]) if place < end and self._low[place] == low else None

    def _texts_of(self, unit: int) -> pa.Table:
        if unit not in self._texts:
            self._texts[unit] = _texts(self._units[unit]).combine_chunks()
            if len(self._texts) > UNITS_IN_MEMORY:
                self._texts.popitem(last=False)
        self._texts.move_to_end(unit)
        return self._texts[unit]


def _texts(unit: CommittedUnit) -> pa.Table:
    """What `Completion` wants; a column that older captions lack is null."""
    there = [name for name in TEXT_COLUMNS if name in unit.schema().names]
    table = unit.table(there)
    for name in set(TEXT_COLUMNS) - set(there):
        table = table.append_column(name, pa.nulls(table.num_rows))
    return table


def key_words(
    keys: pa.ChunkedArray,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    """(rows [N], words [N, 2]) of keys that are 32 hex digits, as all of `caption_key` are.

    Others, made by hand perhaps, are never asked for and need no place.
    """
    is_key = pc.match_substring_regex(keys, "^[0-9a-f]{32}$")
    rows = np.flatnonzero(is_key.to_numpy())
    digits = np.frombuffer("".join(keys.filter(is_key).to_pylist()).encode(), np.uint8)
    nibbles = _NIBBLE[digits.reshape(-1, 32)]
    packed = np.ascontiguousarray(nibbles[:, ::2] << 4 | nibbles[:, 1::2])
    return rows, packed.view(">u8").astype(np.uint64)
