"""missing.csv: studies that earlier runs saw in this studies folder and of which this run sees no file.

They stand outside the accounting of files: found = scored + unchanged + skipped counts what is there.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from mura_batch.atomic_files import atomic_writer
from mura_batch.outputs.csv_tables import inert
from mura_batch.outputs.disclosure import Disclosure
from mura_batch.records import SCHEMA_VERSION
from mura_batch.store.seen_files import MissingStudy

NAME = "missing.csv"
COLUMNS = ("schema_version", "study_uid", "accession", "study_date", "files", "study_key")


def write_missing(folder: Path, studies: Iterable[MissingStudy], disclosure: Disclosure) -> int:
    """Returns their number. Raises OutputError."""
    count = 0
    with atomic_writer(folder / NAME) as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(COLUMNS)
        for study in disclosure.missing(studies):
            uid, accession, date = map(inert, (study.study_uid, study.accession, study.study_date))
            writer.writerow((SCHEMA_VERSION, uid, accession, date, study.files, disclosure.study_key(study.study_uid)))
            count += 1
    return count
