"""studies.csv, images.csv and skipped.csv: written row by row in flat memory, read back for rendering again.

RFC 4180, UTF-8. Text that a spreadsheet would run as a formula is made inert with an apostrophe (OWASP, "CSV
Injection"), at the start of a cell and behind any character that another locale takes for a separator; numbers stay
numbers. Columns are described in docs/outputs.md.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mura_batch.atomic_files import atomic_writer
from mura_batch.errors import InputError
from mura_batch.outputs.sink import RunEnd, RunInfo
from mura_batch.reasons import ADVICE
from mura_batch.records import (
    SCHEMA_VERSION,
    InstanceScore,
    Laterality,
    Region,
    Skipped,
    StudyScore,
    StudyStatus,
)

STUDY_COLUMNS = (
    "schema_version", "study_uid", "accession", "patient_key", "study_date", "region", "laterality", "instances",
    "scored", "score", "abnormal", "threshold", "status", "reason", "model", "study_key", "row_key",
)  # fmt: skip
IMAGE_COLUMNS = (
    "schema_version", "study_uid", "accession", "series_uid", "sop_instance_uid", "file", "file_key", "region",
    "region_source", "region_evidence", "region_confidence", "region_disagreement", "laterality", "view", "modality",
    "photometric", "rows", "columns", "bits_stored", "transfer_syntax", "decoder", "reduction", "modality_transform",
    "voi", "window_center", "window_width", "polarity", "polarity_reason", "pixel_aspect", "flags", "probability",
    "reused", "content_hash", "row_key",
)  # fmt: skip
SKIPPED_COLUMNS = (
    "schema_version", "file", "file_key", "stage", "reason", "detail", "advice", "study_uid", "sop_instance_uid",
    "accession", "region",
)  # fmt: skip
FILES = {"studies.csv": STUDY_COLUMNS, "images.csv": IMAGE_COLUMNS, "skipped.csv": SKIPPED_COLUMNS}
LONGEST_CELL = 32_000  # characters: a spreadsheet's cell ends at 32,767, a hostile header's text may not end at all
# What starts a formula: at the start of a cell, and behind what some locale takes for the end of one. The wide forms of
# = + - @ start one in East Asian locales; an apostrophe is escaped by itself, so that reading is exact.
_FORMULA = "=+\\-@\t\r\n\0\uff1d\uff0b\uff0d\uff20'"
_ESCAPE = re.compile(f"(^|[;,|\t\r\n])(?=[{_FORMULA}])")
_RISKY = re.compile(f"[{_FORMULA}]")
_UNESCAPE = re.compile("(^|[;,|\t\r\n])'")

Row = dict[str, str]


class CsvTables:
    """The three files of a run, which appear together when it is finished. Memory does not grow with the rows."""

    def __init__(self, run: RunInfo) -> None:
        self._folder = run.folder
        self._model = run.model.card.name

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._writers = {}
            for name, columns in FILES.items():
                file = stack.enter_context(atomic_writer(self._folder / name))
                self._writers[name] = csv.writer(file, lineterminator="\r\n")
                self._writers[name].writerow(columns)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def finish(self, end: RunEnd) -> None:
        self._stack.close()

    def study(self, s: StudyScore, images: Sequence[InstanceScore]) -> None:
        self._write("studies.csv", (
            s.study_uid, s.accession, s.patient_key, s.study_date, s.region, s.laterality, s.instances, s.scored,
            s.score, s.abnormal, s.threshold, s.status, s.reason, self._model, s.key, s.row_key,
        ))  # fmt: skip
        for image in images:
            self._image(image, s.row_key)

    def _image(self, score: InstanceScore, row_key: str) -> None:
        i, d, r = score.instance, score.decoded.decisions, score.instance.region
        identity = (i.study_uid, i.accession, i.series_uid, i.sop_instance_uid, i.source.path, i.source.key)
        region = _cells(r.region, r.source, r.evidence, r.confidence, r.disagreement)
        frame = _cells(
            i.laterality, i.view_position, i.modality, i.photometric, i.rows, i.columns, i.bits_stored,
            i.transfer_syntax,
        )  # fmt: skip
        decisions = _cells(
            d.decoder, d.reduction, d.modality_transform, d.voi, d.window_center, d.window_width, d.polarity,
            d.polarity_reason, d.pixel_aspect,
        )  # fmt: skip
        flags = "; ".join((*i.flags, *d.flags))
        result = (flags, score.probability, score.reused, score.decoded.content_hash, row_key)
        self._write("images.csv", identity, region, frame, decisions, result)

    def skip(self, s: Skipped) -> None:
        self._write("skipped.csv", (
            s.source.path, s.source.key, s.stage, s.reason, s.detail, ADVICE[s.reason], s.study_uid,
            s.sop_instance_uid, s.accession, s.region,
        ))  # fmt: skip

    def _write(self, name: str, *parts: tuple[Any, ...]) -> None:
        """parts: values, or cells that were made of values before."""
        row = [SCHEMA_VERSION]
        for part in parts:
            row.extend(part if isinstance(part, _Cells) else map(_cell, part))
        self._writers[name].writerow(row)


class _Cells(tuple[str, ...]):
    """Cells of a row, ready to be written."""

    __slots__ = ()


@lru_cache(maxsize=4096, typed=True)  # the radiographs of one device differ in little; typed: 1 is not 1.0 nor True
def _cells(*values: str | float | None) -> _Cells:
    return _Cells(map(_cell, values))


def read_studies(path: Path) -> Iterator[StudyScore]:
    """Raises InputError where the file is not a studies.csv of this version."""
    for n, row in enumerate(read_rows(path), start=2):
        try:
            yield _study(row)
        except ValueError as error:
            raise InputError(f"{path}, row {n}: {error}; the file was changed by hand: score again") from error


def read_rows(path: Path, column: str = "", wanted: Container[str] = ()) -> Iterator[Row]:
    """Rows of one of the three files, as they were before cells were made inert; only those whose value in column is
    wanted, if one is given. Raises InputError where it is not a file of this version."""
    columns = FILES[path.name]
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # a spreadsheet that saved it adds the mark
            rows = csv.reader(file)
            names = next(rows, [])
            if missing := set(columns) - set(names):
                raise InputError(f"{path} has no column {', '.join(sorted(missing))}: it is of another version")
            places = [names.index(name) for name in columns]
            width, place_of = max(places) + 1, names.index(column) if column else None
            for cells in rows:
                if not cells:
                    continue
                row = cells if len(cells) >= width else cells + [""] * (width - len(cells))
                if place_of is None or _plain(row[place_of]) in wanted:
                    yield {name: _plain(row[place]) for name, place in zip(columns, places, strict=True)}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read ({error}): is this the folder of a whole run?") from error


def _study(row: Row) -> StudyScore:
    return StudyScore(
        study_uid=row["study_uid"],
        accession=row["accession"],
        patient_key=row["patient_key"],
        study_date=row["study_date"],
        region=Region(row["region"]),
        laterality=Laterality(row["laterality"]),
        instances=int(row["instances"]),
        scored=int(row["scored"]),
        score=float(row["score"]) if row["score"] else None,
        abnormal=row["abnormal"] == "1" if row["abnormal"] else None,
        threshold=float(row["threshold"]),
        status=StudyStatus(row["status"]),
        reason=row["reason"],
    )


def _cell(value: str | float | None) -> str:
    """An int is a float to the type checker, and so is a bool."""
    return _CELLS.get(type(value), _inert)(value)


def _inert(text: str) -> str:
    if len(text) > LONGEST_CELL:
        text = f"{text[:LONGEST_CELL]} ..."
    return _ESCAPE.sub(r"\1'", text) if _RISKY.search(text) else text


_CELLS: dict[type, Callable[[Any], str]] = {  # what is none of these is text
    str: _inert,
    int: str,
    float: "{:.9g}".format,  # float32 survives nine digits
    bool: "{:d}".format,
    type(None): lambda _: "",
}


def _plain(value: str) -> str:
    return _UNESCAPE.sub(r"\1", value) if "'" in value else value
