"""The tables as JSON Lines: studies.jsonl, images.jsonl, skipped.jsonl and missing.jsonl, one object a line, with the
columns and the values of the CSV files. Text is not escaped for spreadsheets; what is not known is null."""

from __future__ import annotations

import json
import math
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Self

from mura_batch.atomic_files import atomic_writer
from mura_batch.errors import InputError
from mura_batch.outputs.sink import RunEnd, RunInfo
from mura_batch.outputs.tables import (
    TABLES,
    Row,
    Value,
    absent_columns,
    as_text,
    cut,
    image_values,
    missing_values,
    skip_values,
    study_values,
)
from mura_batch.records import InstanceScore, MissingStudy, Skipped, StudyScore, rounded

SUFFIX = ".jsonl"


class JsonlTables:
    """The files of a run, which appear together when it is finished. Memory does not grow with the rows."""

    def __init__(self, run: RunInfo) -> None:
        self._folder = run.folder
        self._model, self._keys = run.model.card.name, run.disclosure
        self._limit = run.outlier_limit

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._files = {
                table: stack.enter_context(atomic_writer(self._folder / f"{table}{SUFFIX}")) for table in TABLES
            }
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def study(self, row: StudyScore, images: Sequence[InstanceScore]) -> None:
        self._write("studies", study_values(row, self._model, self._keys))
        for image in images:
            self._write("images", chain.from_iterable(image_values(image, row, self._keys, self._limit)))

    def skip(self, skip: Skipped) -> None:
        self._write("skipped", skip_values(skip, self._keys))

    def missing(self, study: MissingStudy) -> None:
        self._write("missing", missing_values(study, self._keys))

    def finish(self, end: RunEnd) -> None:
        self._stack.close()

    def _write(self, table: str, values: Iterable[Value]) -> None:
        row = {name: _json_value(value) for name, value in zip(TABLES[table], values, strict=True)}
        self._files[table].write(_encode(row) + "\n")


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def _json_value(value: Value) -> Value:
    if isinstance(value, str):
        return cut(value) or None
    if isinstance(value, float):
        return rounded(value) if math.isfinite(value) else None  # JSON has no infinity
    return value


def read_jsonl_rows(path: Path, table: str, column: str, wanted: Container[str]) -> Iterator[Row]:
    """As csv_tables.read_csv_rows."""
    try:
        with path.open(encoding="utf-8") as file:
            for line, text in enumerate(file, start=1):
                values = json.loads(text)
                if missing := absent_columns(table, values):
                    raise InputError(f"{path}, line {line}: no {missing}: it is of another version")
                if not column or as_text(values[column]) in wanted:
                    yield {name: as_text(values.get(name)) for name in TABLES[table]}
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error}): is this the folder of a whole run?") from error
