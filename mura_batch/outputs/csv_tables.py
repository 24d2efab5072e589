"""The tables as CSV: studies.csv, images.csv, skipped.csv and missing.csv, written row by row in flat memory, and read
back.

RFC 4180, UTF-8. Text that a spreadsheet would run as a formula is made inert with an apostrophe (OWASP, "CSV
Injection"), at the start of a cell and behind any character that another locale takes for a separator; numbers stay
numbers.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mura_batch.atomic_files import atomic_writer
from mura_batch.errors import InputError
from mura_batch.outputs.sink import RunEnd, RunInfo
from mura_batch.outputs.tables import (
    LONGEST_TEXT,
    TABLES,
    Row,
    Value,
    absent_columns,
    cut,
    image_values,
    missing_values,
    skip_values,
    study_values,
)
from mura_batch.records import InstanceScore, MissingStudy, Skipped, StudyScore

SUFFIX = ".csv"
# What starts a formula: at the start of a cell, and behind what some locale takes for the end of one. The wide forms of
# = + - @ start one in East Asian locales; an apostrophe is escaped by itself, so that reading is exact.
_FORMULA = "=+\\-@\t\r\n\0\uff1d\uff0b\uff0d\uff20'"
_ESCAPE = re.compile(f"(^|[;,|\t\r\n])(?=[{_FORMULA}])")
_END = "\x1f"  # of a cell, where the cells of a row are looked at together
_UNSAFE = re.compile(f"(^|[{_END};,|\t\r\n])[{_FORMULA}]")
_RISKY = re.compile(f"[{_FORMULA}]")
_UNESCAPE = re.compile("(^|[;,|\t\r\n])'")


class CsvTables:
    """The files of a run, which appear together when it is finished. Memory does not grow with the rows."""

    def __init__(self, run: RunInfo) -> None:
        self._folder = run.folder
        self._model, self._keys = run.model.card.name, run.disclosure
        self._limit = run.outlier_limit

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._writers = {}
            for table, columns in TABLES.items():
                file = stack.enter_context(atomic_writer(self._folder / f"{table}{SUFFIX}"))
                self._writers[table] = csv.writer(file, lineterminator="\r\n")
                self._writers[table].writerow(columns)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def study(self, row: StudyScore, images: Sequence[InstanceScore]) -> None:
        self._writers["studies"].writerow(_texts(study_values(row, self._model, self._keys)))
        write = self._writers["images"].writerow
        for image in images:
            identity, *of_device, result = image_values(image, row, self._keys, self._limit)
            cells = _texts(identity)
            for group in of_device:
                cells.extend(_cells(*group))
            write(cells + _texts(result))

    def skip(self, skip: Skipped) -> None:
        self._writers["skipped"].writerow(map(_cell, skip_values(skip, self._keys)))

    def missing(self, study: MissingStudy) -> None:
        self._writers["missing"].writerow(map(_cell, missing_values(study, self._keys)))

    def finish(self, end: RunEnd) -> None:
        self._stack.close()


@lru_cache(maxsize=4096, typed=True)  # typed: 1 is not 1.0 nor True
def _cells(*values: Value) -> tuple[str, ...]:
    return tuple(map(_cell, values))


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Value]]) -> None:
    """One more table, cells inert. Raises OutputError where it cannot be written."""
    with atomic_writer(path) as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(columns)
        writer.writerows([_cell(value) for value in row] for row in rows)


def csv_line(values: Iterable[Value]) -> str:
    """A row without its end, cells inert."""
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="").writerow(map(_cell, values))
    return line.getvalue()


def read_csv_rows(path: Path, table: str, column: str, wanted: Container[str]) -> Iterator[Row]:
    """Rows as they were before cells were made inert; only those whose value in column is wanted, if one is given.
    Raises InputError where the file is not one of this version."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # a spreadsheet that saved it adds the mark
            rows = csv.reader(file)
            names = next(rows, [])
            if missing := absent_columns(table, names):
                raise InputError(f"{path} has no column {missing}: it is of another version")
            yield from _wanted_rows(rows, TABLES[table], names, column, wanted)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read ({error}): is this the folder of a whole run?") from error


def _wanted_rows(
    rows: Iterable[list[str]], columns: Iterable[str], names: list[str], column: str, wanted: Container[str]
) -> Iterator[Row]:
    """names: of the columns that the file has."""
    places = {name: names.index(name) for name in columns if name in names}
    unknown = dict.fromkeys(columns, "")
    width, chosen = max(places.values()) + 1, places.get(column)
    for cells in rows:
        if not cells:
            continue
        row = cells if len(cells) >= width else cells + [""] * (width - len(cells))
        if chosen is None or plain(row[chosen]) in wanted:
            yield unknown | {name: plain(row[place]) for name, place in places.items()}


def _texts(values: Sequence[Value]) -> list[str]:
    """The cell of each value. They are looked at together, a third of the time: one that is not as it is, is rare."""
    texts = [value if type(value) is str else _PLAIN.get(type(value), str)(value) for value in values]
    row = _END.join(texts)
    if len(row) > LONGEST_TEXT or row.count(_END) != len(texts) - 1 or _UNSAFE.search(row):
        return list(map(_cell, values))
    return texts


def _cell(value: Value) -> str:
    return _CELLS.get(type(value), inert)(value)


def inert(text: str) -> str:
    """The cell of a text: as it is, where no spreadsheet would run it as a formula."""
    text = cut(text)
    return _ESCAPE.sub(r"\1'", text) if _RISKY.search(text) else text


_CELLS: dict[type, Callable[[Any], str]] = {  # what is none of these is text
    str: inert,
    int: str,
    float: "{:.9g}".format,
    bool: "{:d}".format,
    type(None): lambda _: "",
}
_PLAIN = {kind: text for kind, text in _CELLS.items() if kind is not str}


def plain(value: str) -> str:
    """The text of a cell, as it was before it was made inert."""
    return _UNESCAPE.sub(r"\1", value) if "'" in value else value
