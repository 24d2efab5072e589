"""The truth file: a CSV as people save it, also a reader's sheet of a drawn sample."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mura_batch.agreement.sampling import Sampled, read_probabilities
from mura_batch.agreement.truth import Contradiction, Key, Truth
from mura_batch.errors import TruthError
from mura_batch.records import Region

if TYPE_CHECKING:
    from _csv import Reader

_LABELS = {
    "0": 0, "0.0": 0, "normal": 0, "negative": 0, "neg": 0, "no": 0, "false": 0,
    "1": 1, "1.0": 1, "abnormal": 1, "positive": 1, "pos": 1, "yes": 1, "true": 1,
}  # fmt: skip
_NO_LABEL = {"": "blank", "pending": "pending", "indeterminate": "indeterminate"}
_COLUMNS = {  # how exports spell them, in lower case without spaces and underscores
    "studyuid": "study_uid", "studyinstanceuid": "study_uid",
    "accession": "accession", "accessionnumber": "accession",
    "label": "label", "region": "region",
    "samplingprobability": "sampling_probability", "samplingstratum": "sampling_stratum",
}  # fmt: skip
_LONGEST_NAME = 64  # PS3.5 6.2: a UID has at most 64 characters, an accession number 16; more is no identifier


def read_truth(path: Path) -> Truth:
    """Columns: study_uid (or accession), label, region where a study has several, and one column for each reader whose
    name begins with 'reader'; without a label column the label is the readers' majority. A sheet of `mura-batch sample`
    also has sampling_probability and sampling_stratum; its studies without a label have not been read yet. A label may
    be 'pending', 'indeterminate' or blank, and lines may repeat or contradict each other: such lines are counted.

    Comma, semicolon or tab; a byte-order mark and spaces around values are accepted. Raises TruthError that names the
    line.
    """
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TruthError(f"the truth file {path} is not UTF-8: save it as 'CSV UTF-8'") from error
    except OSError as error:
        raise TruthError(f"the truth file {path} cannot be read: {error.strerror}") from error
    try:
        return replace(_parse(text, path), sha256=hashlib.sha256(data).hexdigest())
    except csv.Error as error:
        raise TruthError(f"the truth file {path} is not a CSV: {error}") from error


@dataclass(frozen=True, slots=True)
class _Header:
    """Positions of the columns that are read; None where there is none."""

    by: str
    study: int
    label: int | None
    region: int | None
    readers: tuple[int, ...]
    probability: int | None
    stratum: int | None
    width: int

    def is_unread(self, row: list[str]) -> bool:
        """Whether this is a drawn study that nobody has labelled."""
        columns = self.readers if self.label is None else (self.label,)
        return self.probability is not None and not any(row[n] for n in columns)


def _parse(text: str, path: Path) -> Truth:
    first = text.partition("\n")[0]
    rows = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=first.count), strict=True)
    names = [name.strip().lower().lstrip("'") for name in next(rows, [])]
    header = _read_header(names, path)
    labels = _Labels([{} for _ in header.readers])
    sampled: dict[Key, Sampled] = {}
    for row, line in _rows(rows, header, path):
        key = _key(row, header, line)
        if header.probability is not None:
            if key in sampled:
                raise TruthError(f"{line}: the study stands above; keep every line of the sheet as it was drawn")
            stratum = "" if header.stratum is None else row[header.stratum]
            sampled[key] = _sampled(row[header.probability], stratum, line)
        if not header.is_unread(row):
            labels.add(key, row, header, line)
    labels.refuse_none(path)
    _refuse_two_levels(labels.labels, path)
    named = tuple((names[n], tuple(of.items())) for n, of in zip(header.readers, labels.readers, strict=True))
    return Truth(
        source=str(path),
        by=header.by,
        labels=tuple(labels.labels.items()),
        readers=named,
        sampling=_checked_sampling(sampled, labels.labels, path),
        unread=max(0, len(sampled) - len(labels.labels)),
        left_out=tuple(sorted(labels.left_out.items())),
        contradictory=tuple(Contradiction(*key, tuple(lines)) for key, lines in labels.contradictory.items()),
    )


@dataclass(slots=True)
class _Labels:
    """What the lines give, as they are read. labels and readers: as in Truth."""

    readers: list[dict[Key, int]]
    labels: dict[Key, int] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    contradictory: dict[Key, list[str]] = field(default_factory=dict)
    _lines: dict[Key, str] = field(default_factory=dict)

    def add(self, key: Key, row: list[str], header: _Header, line: str) -> None:
        given = [_reader_label(row[n], line) for n in header.readers]
        cells = {row[n].lower() for n in (header.readers if header.label is None else (header.label,))}
        if cells <= _NO_LABEL.keys():
            self.left_out[_NO_LABEL[max(cells)]] += 1  # 'pending' before 'indeterminate' before a blank
            return
        label = _majority(given, line) if header.label is None else _label(row[header.label], line)
        source = f"{line}: {label}"
        if key in self.contradictory:
            self.contradictory[key].append(source)
        elif key not in self.labels:
            self._put(key, label, given, source)
        elif self.labels[key] == label:
            self.left_out["repeated"] += 1
        else:
            self.contradictory[key] = [self._lines[key], source]
            for labels in (self.labels, *self.readers):
                labels.pop(key, None)

    def _put(self, key: Key, label: int, given: list[int | None], source: str) -> None:
        self.labels[key], self._lines[key] = label, source
        for reader, value in zip(self.readers, given, strict=True):
            if value is not None:
                reader[key] = value

    def refuse_none(self, path: Path) -> None:
        if not self.labels:
            counts = {**self.left_out, **({"contradictory": len(self.contradictory)} if self.contradictory else {})}
            found = ", ".join(f"{n} {reason}" for reason, n in counts.items())
            raise TruthError(
                f"{path} holds no label{f' ({found})' if found else ''}: it needs a line for each study below the "
                "header line"
            )


def _sampled(text: str, stratum: str, line: str) -> Sampled:
    try:
        probability = float(text.replace(",", "."))  # the comma of some spreadsheets
    except ValueError:
        probability = 0.0
    if not 0 < probability <= 1:
        raise TruthError(f"{line}: sampling_probability {text[:40]!r} is not above 0 and at most 1")
    return Sampled(stratum or f"p = {text}", probability)


def _checked_sampling(
    sampled: dict[Key, Sampled], labels: dict[Key, int], path: Path
) -> tuple[tuple[Key, Sampled], ...]:
    """Of the labels, with the probability of having been drawn and read."""
    read = read_probabilities([(one, key in labels) for key, one in sampled.items()], str(path))
    return tuple((key, Sampled(one.stratum, read[one.stratum])) for key, one in sampled.items() if key in labels)


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
    probability, stratum = (
        known.index(name) if name in known else None for name in ("sampling_probability", "sampling_stratum")
    )
    return _Header(by, known.index(by), label, region, readers, probability, stratum, len(names))


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


def _reader_label(text: str, line: str) -> int | None:
    return None if text.lower() in _NO_LABEL else _label(text, line)


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
