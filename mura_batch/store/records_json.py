"""Records <-> JSON text and rows, as the ledger keeps them."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from typing import Any

from mura_batch.errors import LedgerError
from mura_batch.pseudonyms import Pseudonyms
from mura_batch.records import (
    Instance,
    Laterality,
    PixelDecisions,
    Reason,
    Region,
    RegionFinding,
    Sex,
    Skipped,
    SourceFile,
    Stage,
)
from mura_batch.store.checksum import record_checksum

# A stored record: the file's path and stat are columns, the rest of the record is JSON. In this order in every query.
RECORD_COLUMNS = "f.study_uid, f.sop_uid, f.path, f.size, f.mtime_ns, f.ctime_ns, f.record, f.checksum"
RECORD_WIDTH = RECORD_COLUMNS.count(",") + 1


def dump_record(record: Instance | Skipped | PixelDecisions) -> str:
    """Without its source file, which has columns of its own."""
    values = _fields(record)
    values.pop("source", None)
    return _dumps(values)


def dump_skip(skip: Skipped) -> str:
    """With its source file."""
    return _dumps(_fields(skip))


def _fields(record: Any) -> dict[str, Any]:
    """As dataclasses.asdict, but shallow: json asks again for what lies inside, in a tenth of the time."""
    return {name: getattr(record, name) for name in record.__slots__}


_dumps = json.JSONEncoder(separators=(",", ":"), default=_fields).encode


# Without json.loads's look at types and at white space, which takes a third of the time.
_loads = json.JSONDecoder().raw_decode


def load_instance(row: tuple[Any, ...]) -> Instance:
    """row: begins with RECORD_COLUMNS. Raises LedgerError where it is not as it was written."""
    try:
        values = _checked(row)
        region = values["region"]
        region["region"] = _REGIONS[region["region"]]
        values["region"] = RegionFinding(**region)
        values["laterality"] = _SIDES[values["laterality"]]
        values["flags"] = tuple(values["flags"])
        values["sex"] = _SEXES[values.get("sex", "")]  # absent in rows of schema 4 and before, as what follows it
        return Instance(**values)
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedRowError("the record of a file", row[0]) from error


_REGIONS = {region.value: region for region in Region}  # a look-up is a fifth of calling the Enum
_SIDES = {side.value: side for side in Laterality}
_SEXES = {sex.value: sex for sex in Sex}


def load_skipped(row: tuple[Any, ...]) -> Skipped:
    """row: begins with RECORD_COLUMNS. Raises LedgerError where it is not as it was written."""
    try:
        return _skipped(_checked(row))
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedRowError("the record of a file", row[0]) from error


def load_skip(text: str, study_uid: str) -> Skipped:
    """What dump_skip wrote. Raises LedgerError."""
    try:
        values, _ = _loads(text)
        values["source"] = SourceFile(**values["source"])
        return _skipped(values)
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedRowError("the record of a file", study_uid) from error


def _skipped(values: dict[str, Any]) -> Skipped:
    values["stage"] = Stage(values["stage"])
    values["reason"] = Reason(values["reason"])
    values["region"] = Region(values["region"])
    values["laterality"] = Laterality(values.get("laterality", ""))  # absent in rows of version 0.1
    return Skipped(**values)


def _checked(row: tuple[Any, ...]) -> dict[str, Any]:
    study_uid, sop_uid, path, size, mtime_ns, ctime_ns, record, expected = row[:RECORD_WIDTH]
    if record_checksum(path, study_uid, sop_uid, record) != expected:
        raise ValueError
    values: dict[str, Any]
    values, _ = _loads(record)
    values["source"] = SourceFile(os.fsdecode(path), size, mtime_ns, ctime_ns or 0)
    return values


@lru_cache(maxsize=1024)  # the radiographs of one device differ in little but their windows
def load_decisions(text: str) -> PixelDecisions:
    values, _ = _loads(text)
    values["flags"] = tuple(values["flags"])
    values["voi_scores"] = tuple((voi, score) for voi, score in values.get("voi_scores", ()))  # absent in older rows
    return PixelDecisions(**values)


class DamagedRowError(LedgerError):
    """A row whose checksum does not fit, or that cannot be read back. what: in words. Its text names no study."""

    def __init__(self, what: str, study_uid: str) -> None:
        super().__init__(_damage(what))
        self._what, self._study_uid = what, study_uid

    def named(self, names: Pseudonyms) -> LedgerError:
        """The same with the key of the study."""
        whose = f"of study {names.study(self._study_uid)}" if self._study_uid else "that names no study"
        return LedgerError(_damage(f"{self._what} {whose}"))


def _damage(what: str) -> str:
    return (
        f"the ledger is damaged: {what} is not as it was written; restore ledger.sqlite from a backup, or move it away "
        "to score everything again"
    )
