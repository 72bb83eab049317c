"""The folder of published annotations, read with errors that name file and row."""

from __future__ import annotations

import csv
import io
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mama_augment.core.errors import InputError

TAB = "\t"


class Annotations:
    """A data set's folder. Rows count from 1, the header not included."""

    def __init__(self, folder: str, dataset: str) -> None:
        """
        Raises:
            InputError: there is no such folder.
        """
        self.folder = Path(folder)
        self.dataset = dataset
        self.remarks: list[str] = []
        """What a reader found that is not as it should be, and could leave out."""
        if not self.folder.is_dir():
            raise InputError(f"ANNOTATIONS: {folder!r} is not a folder; give that of {dataset}")

    def has(self, name: str) -> bool:
        return (self.folder / name).is_file()

    def first_of(self, *names: str) -> str:
        """The first of some files that is there.

        Raises:
            InputError: none is; what the folder has is listed.
        """
        for name in names:
            if self.has(name):
                return name
        there = sorted(path.name for path in self.folder.iterdir())[:12]
        raise InputError(
            f"{self.folder}: no {' or '.join(names)}, which {self.dataset} has as published; "
            f"the folder has {', '.join(there) or 'nothing'}"
        )

    def bytes_of(self, name: str) -> bytes:
        return (self.folder / self.first_of(name)).read_bytes()

    def text_of(self, name: str) -> str:
        try:
            return self.bytes_of(name).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"{self.folder / name}: not UTF-8 ({error})") from error

    def json_of(self, name: str) -> Any:
        try:
            return json.loads(self.text_of(name))
        except json.JSONDecodeError as error:
            raise InputError(f"{self.folder / name}: not JSON ({error})") from error

    def lines_of(self, name: str) -> list[str]:
        """Lines that are not blank, without the blanks around them."""
        return [line.strip() for line in self.text_of(name).split("\n") if line.strip()]

    def table(self, name: str, *columns: str, tabs: bool = False) -> Iterator[tuple[str, Row]]:
        """(Place, row) of a csv with a header; `tabs`: separated by tabs, quotes meaning nothing.

        Raises:
            InputError: a column is missing, or a row has too few or too many fields.
        """
        file = io.StringIO(self.text_of(name), newline="")
        kind: dict[str, Any] = {"delimiter": TAB, "quoting": csv.QUOTE_NONE} if tabs else {}
        rows = csv.reader(file, **kind)
        header = [column.strip() for column in next(rows, [])]
        missing = [column for column in columns if column not in header]
        if missing:
            raise InputError(
                f"{self.folder / name}: no column {', '.join(missing)}; its columns are "
                f"{', '.join(header)}"
            )
        for number, fields in enumerate(filter(None, rows), 1):
            if len(fields) != len(header):
                raise InputError(
                    f"{self.folder / name}, row {number}: {len(fields)} fields; the header has "
                    f"{len(header)}"
                )
            place = f"{name} row {number}"
            yield place, Row(dict(zip(header, fields, strict=True)), self.folder / name, number)

    def plain_pickle(self, name: str) -> Any:
        """A pickle of lists, dictionaries and strings; anything else in it is refused.

        Raises:
            InputError: it wants to load code, or is damaged.
        """
        try:
            return PlainUnpickler(io.BytesIO(self.bytes_of(name)), encoding="latin-1").load()
        except (pickle.UnpicklingError, EOFError, ValueError, IndexError, KeyError) as error:
            raise InputError(
                f"{self.folder / name}: not a pickle of plain data ({error})"
            ) from error


class PlainUnpickler(pickle.Unpickler):
    """Knows no classes, so that a pickle of strangers cannot run anything."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


class Row:
    """One row of a table."""

    def __init__(self, fields: dict[str, str], path: Path, number: int) -> None:
        self._fields, self._path, self._number = fields, path, number

    def __getitem__(self, name: str) -> str:
        return self._fields[name]

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def option_number(self, name: str, num_options: int) -> int:
        """Which option a field means by its number, from 0.

        Raises:
            InputError: it is not such a number.
        """
        value = self._fields[name].strip()
        if not value.isdecimal() or int(value) >= num_options:
            raise InputError(
                f"{self._path}, row {self._number}: the {name} {value!r} is not the number of an "
                f"option; allowed: 0 to {num_options - 1}"
            )
        return int(value)

    def option_of_text(self, name: str, options: tuple[str, ...]) -> int:
        """Which option a field means by its text: the first of those that have it.

        Raises:
            InputError: none has it.
        """
        value = self._fields[name]
        if value not in options:
            raise InputError(
                f"{self._path}, row {self._number}: the {name} {value!r} is not one of the options "
                f"{', '.join(map(repr, options))}"
            )
        return options.index(value)
