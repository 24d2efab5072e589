"""A truth file: a CSV as people save it, also a reader's sheet of a drawn sample."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mura_batch.agreement.sampling import read_probabilities
from mura_batch.agreement.truth_file import Said, Sampled, TruthFile, TruthKind, TruthLine
from mura_batch.errors import TruthError
from mura_batch.records import Laterality, Region
from mura_batch.regular_files import read_regular

if TYPE_CHECKING:
    from _csv import Reader

_NORMAL = ("0", "0.0", "normal", "negative", "neg", "no", "false")
_ABNORMAL = ("1", "1.0", "abnormal", "positive", "pos", "yes", "true")
_SAID = {
    **dict.fromkeys(_NORMAL, Said.NORMAL), **dict.fromkeys(_ABNORMAL, Said.ABNORMAL),
    "pending": Said.PENDING, "indeterminate": Said.INDETERMINATE, "": Said.BLANK,
}  # fmt: skip
_SIDES = {
    "": "", "l": Laterality.LEFT, "left": Laterality.LEFT, "r": Laterality.RIGHT, "right": Laterality.RIGHT,
    "b": Laterality.BOTH, "both": Laterality.BOTH, "bilateral": Laterality.BOTH,
    "u": Laterality.UNPAIRED, "unpaired": Laterality.UNPAIRED,
}  # fmt: skip
_COLUMNS = {  # how exports spell them, in lower case without spaces and underscores
    "studyuid": "study_uid", "studyinstanceuid": "study_uid",
    "accession": "accession", "accessionnumber": "accession",
    "label": "label", "region": "region", "side": "side", "laterality": "side",
    "samplingprobability": "sampling_probability", "samplingstratum": "sampling_stratum",
}  # fmt: skip
_LONGEST_NAME = 64  # PS3.5 6.2: a UID has at most 64 characters, an accession number 16; more is no identifier
_SEPARATOR = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)  # Excel's own first line: how the rest is separated
_UTF16 = (b"\xff\xfe", b"\xfe\xff")  # byte-order marks: Excel's 'Unicode text'


def read_truth(path: Path, kind: TruthKind = TruthKind.REPORT, reader: str = "") -> TruthFile:
    """Columns: study_uid (or accession), label, region and side where a study has several, and one column for each
    reader whose name begins with 'reader'. A sheet of `mura-batch sample` also has sampling_probability and
    sampling_stratum; its studies without a label have not been read yet. A label may be 'pending', 'indeterminate' or
    blank. kind: of the labels; those of kind 'reader' are by `reader`.

    Comma, semicolon or tab; UTF-8, or UTF-16 with its mark; Excel's `sep=` line and spaces around values are accepted.
    Raises TruthError that names the line.
    """
    try:
        data = read_regular(path)
        text = data.decode("utf-16" if data.startswith(_UTF16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise TruthError(f"the truth file {path} is not UTF-8: save it as 'CSV UTF-8'") from error
    except OSError as error:
        raise TruthError(f"the truth file {path} cannot be read: {error.strerror}") from error
    try:
        header, lines = _parse(text, path)
    except csv.Error as error:
        raise TruthError(f"the truth file {path} is not a CSV: {error}") from error
    names = header.reader_names
    if kind is TruthKind.READER and header.label is not None:
        names, lines = (_reader_of(reader, names, path), *names), [_as_reader(line) for line in lines]
    return TruthFile(
        name=str(path),
        sha256=hashlib.sha256(data).hexdigest(),
        by=header.by,
        kind=kind if header.label is not None else TruthKind.READER,
        lines=tuple(lines),
        reader=reader,
        readers=names,
        drawn=_drawn(lines, path),
        unread=sum(line.sampled is not None and not line.has_label for line in lines),
    )


@dataclass(frozen=True, slots=True)
class _Header:
    """Positions of the columns that are read; None where there is none.."""

    by: str
    study: int
    label: int | None
    region: int | None
    side: int | None
    readers: tuple[int, ...]
    reader_names: tuple[str, ...]
    probability: int | None
    stratum: int | None
    width: int


def _parse(text: str, path: Path) -> tuple[_Header, list[TruthLine]]:
    separator = _SEPARATOR.match(text)
    before = 1 if separator else 0
    if separator:
        text = text[separator.end() :]
    first = text.partition("\n")[0]
    rows = csv.reader(
        io.StringIO(text), delimiter=separator[1] if separator else max(",;\t", key=first.count), strict=True
    )
    header = _read_header([name.strip().lower().lstrip("'") for name in next(rows, [])], path)
    lines = [_line(row, number, header, path) for row, number in _rows(rows, header, before, path)]
    if header.probability is not None:
        _refuse_repeated(lines, path)
    return header, lines


def _read_header(names: list[str], path: Path) -> _Header:
    known = [_COLUMNS.get(name.replace("_", "").replace(" ", ""), name) for name in names]
    if twice := sorted(name for name, n in Counter(known).items() if n > 1 and name):
        raise TruthError(f"{path}: the header line names {', '.join(twice)[:80]} more than once")
    by = next((name for name in ("study_uid", "accession") if name in known), None)
    if "reader" in known:
        raise TruthError(f"{path}: give each reader a column (reader_1, reader_2, ...) and each study one line")
    readers = tuple(n for n, name in enumerate(known) if name.startswith("reader"))
    at = {name: known.index(name) for name in set(_COLUMNS.values()) & set(known)}
    if by is None or ("label" not in at and not readers):
        columns = ", ".join(names)[:80]
        raise TruthError(f"{path} needs a header line with study_uid (or accession) and label, it has: {columns!r}")
    return _Header(
        by, at[by], at.get("label"), at.get("region"), at.get("side"), readers, tuple(names[n] for n in readers),
        at.get("sampling_probability"), at.get("sampling_stratum"), len(names),
    )  # fmt: skip


def _rows(rows: Reader, header: _Header, before: int, path: Path) -> Iterator[tuple[list[str], int]]:
    """Stripped cells of the lines that are not blank, each with its number in the file."""
    for row in rows:
        number, cells = rows.line_num + before, [cell.strip() for cell in row]
        if not any(cells):
            continue
        if len(cells) < header.width or any(cells[header.width :]):
            raise TruthError(f"{path}, line {number}: has {len(cells)} values, the header line has {header.width}")
        yield cells, number


def _line(row: list[str], number: int, header: _Header, path: Path) -> TruthLine:
    line = f"{path}, line {number}"
    study = row[header.study].lstrip("'")  # the apostrophe of an inert spreadsheet cell
    if not study:
        raise TruthError(f"{line}: names no study")
    if len(study) > _LONGEST_NAME:
        raise TruthError(f"{line}: the study's name has {len(study)} characters: is the delimiter right?")
    region = "" if header.region is None else row[header.region].lower()
    if region and region not in set(Region):
        raise TruthError(f"{line}: region {region[:40]!r} is none of {', '.join(Region)}")
    side = "" if header.side is None else row[header.side].lower()
    if side not in _SIDES:
        raise TruthError(f"{line}: side {side[:40]!r} is none of left, right, both, unpaired")
    said = None if header.label is None else _said(row[header.label], line)
    readers = tuple(_said(row[n], line) for n in header.readers)
    return TruthLine(number, study, region, _SIDES[side], said, readers, _sampled(row, header, line))


def _said(text: str, line: str) -> Said:
    if text.lower() not in _SAID:
        known = ", ".join(filter(None, _SAID))
        raise TruthError(f"{line}: label {text[:40]!r} is none of {known}")
    return _SAID[text.lower()]


def _sampled(row: list[str], header: _Header, line: str) -> Sampled | None:
    if header.probability is None:
        return None
    text = row[header.probability]
    try:
        probability = float(text.replace(",", "."))  # the comma of some spreadsheets
    except ValueError:
        probability = 0.0
    if not 0 < probability <= 1:
        raise TruthError(f"{line}: sampling_probability {text[:40]!r} is not above 0 and at most 1")
    stratum = "" if header.stratum is None else row[header.stratum]
    return Sampled(stratum or f"p = {text}", probability)


def _refuse_repeated(lines: Sequence[TruthLine], path: Path) -> None:
    seen: set[tuple[str, str, str]] = set()
    for line in lines:
        key = (line.study, line.region, line.side)
        if key in seen:
            raise TruthError(
                f"{path}, line {line.number}: the study stands above; keep every line of the sheet as it was drawn"
            )
        seen.add(key)


def _drawn(lines: Sequence[TruthLine], path: Path) -> tuple[tuple[str, float], ...]:
    """For each stratum of a sheet the probability of having been drawn and read."""
    sampled = [(line.sampled, line.has_label) for line in lines if line.sampled is not None]
    return tuple(read_probabilities(sampled, str(path)).items())


def _reader_of(reader: str, names: tuple[str, ...], path: Path) -> str:
    """The name under which the labels of a file of kind 'reader' go."""
    if not reader:
        raise TruthError(f"{path}: whose labels are they? Name the reader with --reader")
    if reader in names:
        raise TruthError(f"{path}: has a column {reader!r} too: give --reader another name")
    return reader


def _as_reader(line: TruthLine) -> TruthLine:
    said = line.said or Said.BLANK
    return TruthLine(line.number, line.study, line.region, line.side, None, (said, *line.readers), line.sampled)
