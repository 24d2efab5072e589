"""A folder with a labels.csv: one picture a line. FracAtlas in its compact form is such a folder.

Columns that must be there: image (path below the folder), split ('train' or 'val'), abnormal (0 or 1). Columns that
may be: study (default: the picture is its own study), group (default: the study), body_part and views ('+' between
several), and any other column of 0 and 1 only, which becomes an attribute of that name.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from mura_batch.errors import InputError
from train.data.examples import TRAIN, VAL, Dataset, Example, checked
from train.data.utf8_text import read_utf8

LABELS_NAME = "labels.csv"
REQUIRED = ("image", "split", "abnormal")
NOT_ATTRIBUTES = (*REQUIRED, "study", "group", "body_part", "views")


def read_labels(root: Path) -> Dataset:
    """Raises InputError that names the file, and the line when a row cannot be understood."""
    path = root / LABELS_NAME
    reader = csv.DictReader(io.StringIO(read_utf8(path)))
    if missing := [name for name in REQUIRED if name not in (reader.fieldnames or ())]:
        raise InputError(f"{path} has no column {', '.join(missing)}; it needs {', '.join(REQUIRED)}")
    rows = list(reader)
    flags = _flag_columns(rows)
    return checked(Dataset(root, "labels", tuple(_example(row, flags, path, n) for n, row in enumerate(rows, start=2))))


def _flag_columns(rows: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    names = rows[0].keys() if rows else ()
    return tuple(n for n in names if n not in NOT_ATTRIBUTES and all(row[n] in ("0", "1") for row in rows))


def _example(row: Mapping[str, str], flags: Sequence[str], path: Path, line: int) -> Example:
    if row["split"] not in (TRAIN, VAL):
        raise InputError(f"{path}, line {line}: split {row['split']!r} is neither {TRAIN!r} nor {VAL!r}")
    if row["abnormal"] not in ("0", "1"):
        raise InputError(f"{path}, line {line}: abnormal {row['abnormal']!r} is neither 0 nor 1")
    study = row.get("study") or row["image"]
    words = {w for column in ("body_part", "views") for w in (row.get(column) or "").split("+") if w}
    return Example(
        image=row["image"],
        split=row["split"],
        study=study,
        group=row.get("group") or study,
        region=row.get("body_part") or "unknown",
        abnormal=row["abnormal"] == "1",
        attributes=frozenset(words | {name for name in flags if row[name] == "1"}),
    )
