"""Truth: labels to compare scores with, read from a CSV and matched to the studies of a run."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mura_batch.errors import TruthError
from mura_batch.records import Region, StudyScore, row_key

if TYPE_CHECKING:
    from _csv import Reader

_LABELS = {
    "0": 0, "0.0": 0, "normal": 0, "negative": 0, "neg": 0, "no": 0, "false": 0,
    "1": 1, "1.0": 1, "abnormal": 1, "positive": 1, "pos": 1, "yes": 1, "true": 1,
}  # fmt: skip
_COLUMNS = {  # how exports spell them, in lower case without spaces and underscores
    "studyuid": "study_uid", "studyinstanceuid": "study_uid",
    "accession": "accession", "accessionnumber": "accession",
    "label": "label", "region": "region",
}  # fmt: skip
_LONGEST_NAME = 64  # PS3.5 6.2: a UID has at most 64 characters, an accession number 16; more is no identifier
Key = tuple[str, str]  # (study_uid or accession, region or '')


@dataclass(frozen=True, slots=True)
class Truth:
    """labels: (study_uid or accession, region or '') -> 0 or 1. by: the column that names the study. readers: for each
    reader column its name and its labels, which may leave studies out."""

    source: str
    by: str  # 'study_uid' or 'accession'
    labels: tuple[tuple[Key, int], ...]
    readers: tuple[tuple[str, tuple[tuple[Key, int], ...]], ...] = ()

    studies: frozenset[str] = field(init=False, repr=False, compare=False)  # the names in labels

    def __post_init__(self) -> None:
        object.__setattr__(self, "studies", frozenset(study for (study, _), _ in self.labels))

    def names(self, study_uid: str, accession: str) -> bool:
        """Whether it has a label for this study."""
        return (study_uid if self.by == "study_uid" else accession) in self.studies

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class Case:
    """One labelled study (or one region of it) with its score. readers: the label of each reader, None for none."""

    study_uid: str
    patient: str
    region: str
    laterality: str
    label: int
    score: float
    abnormal: bool
    readers: tuple[int | None, ...] = ()

    @property
    def row_key(self) -> str:
        return row_key(self.study_uid, self.region, self.laterality)


@dataclass(frozen=True, slots=True)
class Matched:
    """cases: labelled and scored. unscored: labels that name a study of the run without a score. absent: labels that
    name no study of the run. unlabelled: scored studies that no label names. readers: names of the reader columns."""

    cases: tuple[Case, ...]
    unscored: int
    absent: int
    unlabelled: int
    readers: tuple[str, ...] = ()


def read_truth(path: Path) -> Truth:
    """Columns: study_uid (or accession), label, region where a study has several, and one column for each reader whose
    name begins with 'reader'; without a label column the label is the readers' majority.

    Comma, semicolon or tab; a byte-order mark and spaces around values are accepted. Raises TruthError that names the
    line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise TruthError(f"the truth file {path} is not UTF-8: save it as 'CSV UTF-8'") from error
    except OSError as error:
        raise TruthError(f"the truth file {path} cannot be read: {error.strerror}") from error
    try:
        return _parse(text, path)
    except csv.Error as error:
        raise TruthError(f"the truth file {path} is not a CSV: {error}") from error


@dataclass(frozen=True, slots=True)
class _Header:
    """Positions of the columns that are read; label and region are None where there is none."""

    by: str
    study: int
    label: int | None
    region: int | None
    readers: tuple[int, ...]
    width: int


def _parse(text: str, path: Path) -> Truth:
    first = text.partition("\n")[0]
    rows = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=first.count), strict=True)
    names = [name.strip().lower().lstrip("'") for name in next(rows, [])]
    header = _read_header(names, path)
    labels: dict[Key, int] = {}
    readers: list[dict[Key, int]] = [{} for _ in header.readers]
    for row, line in _rows(rows, header, path):
        key = _key(row, header, line)
        if key in labels:
            raise TruthError(
                f"{line}: {'this region of ' if key[1] else ''}the study was labelled above; keep one line"
            )
        given = [_label(row[n], line) if row[n] else None for n in header.readers]
        labels[key] = _majority(given, line) if header.label is None else _label(row[header.label], line)
        for reader, value in zip(readers, given, strict=True):
            if value is not None:
                reader[key] = value
    if not labels:
        raise TruthError(f"{path} holds no label: it needs a line for each study below the header line")
    _refuse_two_levels(labels, path)
    named = tuple((names[n], tuple(of.items())) for n, of in zip(header.readers, readers, strict=True))
    return Truth(str(path), header.by, tuple(labels.items()), named)


def _read_header(names: list[str], path: Path) -> _Header:
    known = [_COLUMNS.get(name.replace("_", "").replace(" ", ""), name) for name in names]
    if twice := sorted(name for name, n in Counter(known).items() if n > 1 and name):
        raise TruthError(f"{path}: the header line names {', '.join(twice)} more than once")
    by = next((name for name in ("study_uid", "accession") if name in known), None)
    if "reader" in known:
        raise TruthError(f"{path}: give each reader a column (reader_1, reader_2, ...) and each study one line")
    readers = tuple(n for n, name in enumerate(known) if name.startswith("reader"))
    label = known.index("label") if "label" in known else None
    if by is None or (label is None and not readers):
        columns = ", ".join(names)[:80]
        raise TruthError(f"{path} needs a header line with study_uid (or accession) and label, it has: {columns!r}")
    region = known.index("region") if "region" in known else None
    return _Header(by, known.index(by), label, region, readers, len(names))


def _rows(rows: Reader, header: _Header, path: Path) -> Iterator[tuple[list[str], str]]:
    """Stripped cells of the lines that are not blank, each with file and line number for messages."""
    for row in rows:
        line, cells = f"{path}, line {rows.line_num}", [cell.strip() for cell in row]
        if not any(cells):
            continue
        if len(cells) < header.width or any(cells[header.width :]):
            raise TruthError(f"{line}: has {len(cells)} values, the header line has {header.width}")
        yield cells, line


def _key(row: list[str], header: _Header, line: str) -> Key:
    study = row[header.study].lstrip("'")  # the apostrophe of an inert spreadsheet cell
    region = "" if header.region is None else row[header.region].lower()
    if not study:
        raise TruthError(f"{line}: names no study")
    if len(study) > _LONGEST_NAME:
        raise TruthError(f"{line}: the study's name has {len(study)} characters: is the delimiter right?")
    if region and region not in set(Region):
        raise TruthError(f"{line}: region {region[:40]!r} is none of {', '.join(Region)}")
    return study, region


def _label(text: str, line: str) -> int:
    if text.lower() not in _LABELS:
        raise TruthError(f"{line}: label {text[:40]!r} is none of {', '.join(_LABELS)}")
    return _LABELS[text.lower()]


def _majority(given: list[int | None], line: str) -> int:
    votes = [label for label in given if label is not None]
    if not votes or 2 * sum(votes) == len(votes):
        raise TruthError(f"{line}: its readers give no majority; add a label column that decides")
    return int(2 * sum(votes) > len(votes))


def _refuse_two_levels(labels: dict[Key, int], path: Path) -> None:
    parts = {study for study, region in labels if region}
    if both := [study for study, region in labels if not region and study in parts]:
        raise TruthError(f"{path}: {len(both)} studies have a label for the whole and one for a region; keep one kind")


def match(truth: Truth, studies: Iterable[StudyScore]) -> Matched:
    """A label with a region goes with the row of that region; where the study has one row and one label, with that row
    whatever its region. A label of a whole study goes with its highest row: a study is abnormal if any part of it is.
    Raises TruthError when no study of the run is named."""
    matching = Matching(truth)
    for study in studies:
        matching.add(study)
    return matching.matched()


class Matching:
    """`match` for rows that come one by one. Holds the rows of the studies that the truth names."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._rows: dict[str, list[StudyScore]] = {name: [] for name in truth.studies}
        self._unlabelled: set[str] = set()  # scored studies that the truth does not name

    def add(self, study: StudyScore) -> None:
        name = study.study_uid if self._truth.by == "study_uid" else study.accession
        if name in self._rows:
            self._rows[name].append(study)
        elif study.score is not None:
            self._unlabelled.add(study.study_uid)

    def matched(self) -> Matched:
        """Of the rows so far. Raises TruthError when none of them is of a study that the truth names."""
        truth = self._truth
        labels_of = Counter(name for (name, _), _ in truth.labels)
        readers = [dict(labels) for _, labels in truth.readers]
        cases: list[Case] = []
        unscored = absent = 0
        for (name, region), label in truth.labels:
            of = self._rows[name]
            lenient = not region or len(of) == labels_of[name] == 1
            matching = [row for row in of if lenient or row.region == region]
            scored = [row for row in matching if row.score is not None]
            absent += not matching
            unscored += bool(matching) and not scored
            if scored:
                given = tuple(reader.get((name, region)) for reader in readers)
                cases.append(_case(max(scored, key=lambda row: row.score or 0.0), label, given))
        if absent == len(truth.labels):
            raise TruthError(
                f"{truth.source} names no study of this run: are its {truth.by} values from here, with their leading "
                "zeros?"
            )
        return Matched(tuple(cases), unscored, absent, len(self._unlabelled), tuple(name for name, _ in truth.readers))


def _case(row: StudyScore, label: int, readers: tuple[int | None, ...]) -> Case:
    return Case(
        study_uid=row.study_uid,
        patient=row.patient_key or row.study_uid,
        region=row.region,
        laterality=row.laterality,
        label=label,
        score=row.score or 0.0,
        abnormal=bool(row.abnormal),
        readers=readers,
    )
