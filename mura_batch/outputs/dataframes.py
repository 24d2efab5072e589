"""The tables of a published run as pandas DataFrames: what `mura_batch.load_run` gives. The only importer of pandas."""

from __future__ import annotations

from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from mura_batch.errors import InputError
from mura_batch.outputs.manifest import read_manifest
from mura_batch.outputs.read_tables import read_rows
from mura_batch.outputs.tables import CLOSED, TABLES, Kind


class Run:
    """A published run. A table is read when it is first asked for; reading raises InputError where it is missing, of
    another version, or was changed by hand. Columns are those of docs/outputs.md, in their order."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest  # as in run.json

    def __repr__(self) -> str:
        return f"<mura-batch run {self.manifest['run']}>"

    @cached_property
    def studies(self) -> pd.DataFrame:
        """A row for each study, or for each region and side of it."""
        return _table(self.folder, "studies")

    @cached_property
    def images(self) -> pd.DataFrame:
        """A row for each scored image; `row_key` is the one of its row in `studies`."""
        return _table(self.folder, "images")

    @cached_property
    def skipped(self) -> pd.DataFrame:
        """A row for each file without a score."""
        return _table(self.folder, "skipped")

    @cached_property
    def missing(self) -> pd.DataFrame:
        """A row for each study that earlier runs saw and of which this run saw no file."""
        return _table(self.folder, "missing")


def open_run(folder: Path) -> Run:
    """Raises InputError where the folder is not one of a whole run."""
    return Run(folder, asdict(read_manifest(folder)))


def _table(folder: Path, table: str) -> pd.DataFrame:
    columns: dict[str, list[str | None]] = {name: [] for name in TABLES[table]}
    for row in read_rows(folder, table):
        for name, values in columns.items():
            values.append(row[name] or None)
    return pd.DataFrame({name: _column(folder, table, name, values) for name, values in columns.items()})


def _column(folder: Path, table: str, name: str, values: list[str | None]) -> pd.Series[Any]:
    try:
        return _typed(name, TABLES[table][name], values)
    except (ValueError, KeyError) as error:
        raise InputError(f"{folder}: column {name} of {table} was changed by hand ({error}); score again") from error


def _typed(name: str, kind: Kind, values: list[str | None]) -> pd.Series[Any]:
    match kind:
        case Kind.TEXT:
            return pd.Series(values, dtype="string")
        case Kind.CATEGORY:
            known = [member.value for member in CLOSED[name] if member.value] if name in CLOSED else None
            return pd.Series(pd.Categorical(values, categories=known))
        case Kind.INTEGER:
            return pd.Series([None if v is None else int(v) for v in values], dtype="Int64")
        case Kind.NUMBER:
            return pd.Series([float("nan") if v is None else float(v) for v in values], dtype="float64")
        case Kind.YES_NO:
            return pd.Series([None if v is None else _YES_NO[v] for v in values], dtype="boolean")
        case Kind.DATE:
            dates = pd.to_datetime(pd.Series(values, dtype="string"), format="%Y%m%d", errors="coerce")
            return dates.astype("datetime64[s]")  # nanoseconds would end in 1677, and a header may hold any year


_YES_NO = {"1": True, "0": False}
