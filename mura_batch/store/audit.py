"""Every row and every picture of a ledger, read and checked: for `mura-batch verify`. The ledger is opened for reading
only, so a run may be going."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from mura_batch.pseudonyms import Pseudonyms
from mura_batch.store.checksum import failure_checksum, score_checksum, truth_checksum
from mura_batch.store.database import LEDGER_NAME, Database
from mura_batch.store.pictures import FOLDER, PictureStore, Place
from mura_batch.store.reading import open_with_names
from mura_batch.store.records_json import RECORD_COLUMNS, DamagedRowError, load_instance, load_skipped

ROWS, PICTURES = "rows", "pictures"


class Audit:
    """`with Audit(out) as audit`. Raises LedgerError where the file is no ledger of this version."""

    def __init__(self, out: Path) -> None:
        self._db = Database(out / LEDGER_NAME)
        self._pictures = PictureStore(self._db, out / FOLDER)

    def __enter__(self) -> Self:
        self._names = open_with_names(self._db)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def findings(self) -> Iterator[tuple[str, str]]:
        """(ROWS or PICTURES, what is wrong with it or ''), for each row and picture. Raises LedgerError where the file
        itself cannot be read."""
        for (message,) in self._db.rows("PRAGMA integrity_check"):
            if message != "ok":
                yield ROWS, f"SQLite: {message}"
        for is_instance, *row in self._db.rows(f"SELECT f.is_instance, {RECORD_COLUMNS} FROM files f"):
            yield ROWS, _problem_of_record(bool(is_instance), tuple(row), self._names)
        scores = "content_hash, model, settings, sop_uid, probability, decisions, distance, checksum"
        picture = "pack, pack_offset, picture_bytes, picture_checksum"
        for score in self._db.rows(f"SELECT {scores}, {picture} FROM scores"):
            *values, expected, pack, offset, size, picture_checksum = score
            intact = score_checksum(*values) == expected
            yield ROWS, "" if intact else f"the score of content {values[0][:10]} is not as it was written"
            if pack is not None and size:
                intact = self._pictures.is_intact(Place(pack, offset, size, picture_checksum))
                yield PICTURES, "" if intact else f"the picture of content {values[0][:10]} is missing or damaged"
        failures = "SELECT path, settings, reason, detail, stage, checksum FROM failures"
        for path, settings, reason, detail, stage, expected in self._db.rows(failures):
            intact = failure_checksum(path, settings, reason, detail, stage) == expected
            file = self._names.file(os.fsdecode(path))
            yield ROWS, "" if intact else f"the failure of file {file} is not as it was written"
        labels = (
            "SELECT file, line, study, region, side, said, readers, stratum, probability, checksum FROM truth_lines"
        )
        for number, line, *says, expected in self._db.rows(labels):
            intact = truth_checksum(*says) == expected
            yield ROWS, "" if intact else f"line {line} of truth file {number} is not as it was written"


def _problem_of_record(is_instance: bool, row: tuple[object, ...], names: Pseudonyms) -> str:
    try:
        (load_instance if is_instance else load_skipped)(row)
    except DamagedRowError as error:
        return str(error.named(names))
    except (UnicodeEncodeError, AttributeError):
        return str(DamagedRowError("the record of a file", ""))
    return ""
