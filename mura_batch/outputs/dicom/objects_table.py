"""dicom/objects.csv: every result object of a run, and every one that could not be made, with the reason."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from mura_batch.atomic_files import atomic_writer
from mura_batch.errors import InputError

TABLE_NAME = "objects.csv"
WRITTEN, NOT_WRITTEN = "written", "not_written"


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """kind: sr, gsps or sc. status: written or not_written, then with a reason. file: relative to the folder dicom/.
    sha256: of that file, hex. notes: what was changed or left out of the source's patient and study data."""

    study_uid: str
    row_key: str
    kind: str
    status: str
    reason: str = ""
    file: str = ""
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    series_instance_uid: str = ""
    sha256: str = ""
    notes: str = ""


COLUMNS = tuple(f.name for f in fields(ObjectRow))


def write_objects(folder: Path, rows: Sequence[ObjectRow]) -> None:
    """Raises OutputError."""
    with atomic_writer(folder / TABLE_NAME) as file:
        table = csv.writer(file, lineterminator="\r\n")
        table.writerow(COLUMNS)
        table.writerows(asdict(row).values() for row in rows)


def read_objects(folder: Path) -> Iterator[ObjectRow]:
    """folder: RUN/dicom. Raises InputError where there is none."""
    try:
        with (folder / TABLE_NAME).open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                yield ObjectRow(**{name: row[name] for name in COLUMNS})
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{folder} has no results as DICOM ({error}): make them with `mura-batch dicom {folder.parent}`"
        ) from error
