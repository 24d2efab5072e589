"""The tables of a published run, read back from whichever format the run has."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from pathlib import Path

from mura_batch.errors import InputError
from mura_batch.outputs import csv_tables, jsonl_tables
from mura_batch.outputs.tables import Row, study_of
from mura_batch.records import StudyScore

_READERS: dict[str, Callable[[Path, str, str, Container[str]], Iterator[Row]]] = {
    csv_tables.SUFFIX: csv_tables.read_csv_rows,
    jsonl_tables.SUFFIX: jsonl_tables.read_jsonl_rows,
}


def read_rows(folder: Path, table: str, column: str = "", wanted: Container[str] = ()) -> Iterator[Row]:
    """Rows of a table of tables.TABLES, in a stream; only those whose value in column is wanted, if one is given.
    Raises InputError where the folder has no such table of this version."""
    suffix = next((suffix for suffix in _READERS if (folder / f"{table}{suffix}").exists()), csv_tables.SUFFIX)
    return _READERS[suffix](folder / f"{table}{suffix}", table, column, wanted)


def read_studies(folder: Path) -> Iterator[StudyScore]:
    """Raises InputError where a row cannot be one."""
    for n, row in enumerate(read_rows(folder, "studies"), start=1):
        try:
            yield study_of(row)
        except ValueError as error:
            raise InputError(
                f"{folder}, row {n} of studies: {error}; the file was changed by hand: score again"
            ) from error


def models_of_rows(folder: Path) -> dict[str, str]:
    """row_key -> name and threshold of the model that called the row."""
    return {row["row_key"]: f"{row['model']}, threshold {row['threshold']}" for row in read_rows(folder, "studies")}
