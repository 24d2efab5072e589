"""A checker for the rows of TID 1500, 1501 and 4019 (PS3.16 2024d, A.5), which dciodvfy does not look at and PixelMed's
validator looks at in part. `violations(report)` lists what breaks a row, each with its table and row.

Row 9d (Visual explanation) is younger than PS3.16 2023e: its place is that of a published encoding of the tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from pydicom.dataset import Dataset

OF_CID_7021 = {"126000", "126001", "126002", "126003"}
OF_CID_244 = {"24028007", "7771000", "51440002", "66459002", "G-A100", "G-A101", "G-A102", "G-A103"}


@dataclass(frozen=True)
class Row:
    """concept: code values allowed as the concept name, empty for any. most: items at most, 0 for no limit."""

    name: str
    relationship: str
    value_type: str
    concept: tuple[str, ...] = ()
    most: int = 0
    least: int = 0


# An item belongs to the first row that it fits. The rows stand in the order of the tables, which is significant.
TID_1500 = (
    Row("TID 1500 row 2 (TID 1204)", "HAS CONCEPT MOD", "CODE", ("121049",), most=1),
    Row("TID 1500 row 3 (TID 1001)", "HAS OBS CONTEXT", "*", least=1),
    Row("TID 1500 row 4", "HAS CONCEPT MOD", "CODE", ("121058",), least=1),
    Row("TID 1500 row 5 (TID 1600)", "CONTAINS", "CONTAINER", ("111028",), most=1),
    Row("TID 1500 row 6", "CONTAINS", "CONTAINER", ("126010",), most=1),
    Row("TID 1500 row 10", "CONTAINS", "CONTAINER", ("126011",), most=1),
    Row("TID 1500 row 12", "CONTAINS", "CONTAINER", ("C0034375",), most=1),
)
_ALGORITHM = (
    Row("TID 4019 row 1", "HAS CONCEPT MOD", "TEXT", ("111001",), most=1),
    Row("TID 4019 row 2", "HAS CONCEPT MOD", "TEXT", ("111003",), most=1),
    Row("TID 4019 row 2b", "HAS CONCEPT MOD", "TEXT", ("122405",), most=1),
    Row("TID 4019 row 3", "HAS CONCEPT MOD", "TEXT", ("111002",)),
    Row("TID 4019 row 4", "HAS CONCEPT MOD", "CODE", ("111000",), most=1),
)
TID_1501 = (
    Row("TID 1501 row 1b", "HAS OBS CONTEXT", "TEXT", ("C67447",), most=1),
    Row("TID 1501 row 2", "HAS OBS CONTEXT", "TEXT", ("112039",), most=1),
    Row("TID 1501 row 3", "HAS OBS CONTEXT", "UIDREF", ("112040",), most=1),
    Row("TID 1501 row 3a", "CONTAINS", "CODE", ("276214006",), most=1),
    Row("TID 1501 row 3b", "CONTAINS", "CODE", ("121071",), most=1),
    Row("TID 1501 row 4 (TID 1502)", "HAS OBS CONTEXT", "*"),
    Row("TID 1501 row 5", "HAS CONCEPT MOD", "CODE", ("370129005", "G-C306"), most=1),
    Row("TID 1501 row 6", "HAS CONCEPT MOD", "CODE", ("363698007", "G-C0E3")),
    *_ALGORITHM,
    Row("TID 1501 row 9c", "CONTAINS", "IMAGE", ("121200",), most=1),
    Row("TID 1501 row 9d", "CONTAINS", "IMAGE", ("130401",)),
    Row("TID 1501 row 10 (TID 300)", "CONTAINS", "NUM"),
    Row("TID 1501 row 10b", "CONTAINS", "IMAGE"),
    Row("TID 1501 row 11", "CONTAINS", "CODE"),
    Row("TID 1501 row 12", "CONTAINS", "TEXT"),
)


def violations(report: Dataset) -> list[str]:
    """One line for each; none for a report that keeps to the tables."""
    return [*_root(report), *_in_rows(report.get("ContentSequence", []), TID_1500), *_groups(report)]


def measurement_groups(report: Dataset) -> list[Dataset]:
    return [
        group
        for container in report.get("ContentSequence", [])
        if concept(container) == "126010"
        for group in container.get("ContentSequence", [])
        if concept(group) == "125007"
    ]


def concept(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence", [])
    return str(names[0].CodeValue) if names else ""


def _root(report: Dataset) -> Iterator[str]:
    if report.get("ValueType") != "CONTAINER" or concept(report) not in OF_CID_7021:
        yield "TID 1500 row 1: the root is a CONTAINER named by CID 7021"
    templates = report.get("ContentTemplateSequence", [])
    if not templates or templates[0].TemplateIdentifier != "1500":
        yield "TID 1500: Template Identifier (0040,DB00) is 1500"
    contained = {concept(item) for item in report.get("ContentSequence", [])}
    if not contained & {"126010", "126011", "C0034375"}:
        yield "TID 1500 rows 6, 10, 12: one of them is required"


def _in_rows(items: list[Dataset], rows: tuple[Row, ...]) -> Iterator[str]:
    """Relationships, value types, numbers of items and their order."""
    found = [next((n for n, row in enumerate(rows) if _fits(item, row)), None) for item in items]
    for item, number in zip(items, found, strict=True):
        if number is None:
            yield f"{rows[0].name.split(' row')[0]}: no row for {_words(item)}"
    known = [number for number in found if number is not None]
    if known != sorted(known):
        wrong = next(b for a, b in pairwise(known) if b < a)
        yield f"{rows[wrong].name}: out of order"
    for number, row in enumerate(rows):
        if row.most and known.count(number) > row.most:
            yield f"{row.name}: at most {row.most}"
        if known.count(number) < row.least:
            yield f"{row.name}: at least {row.least}"


def _fits(item: Dataset, row: Row) -> bool:
    return (
        item.get("RelationshipType") == row.relationship
        and row.value_type in {"*", item.get("ValueType")}
        and (not row.concept or concept(item) in row.concept)
    )


def _words(item: Dataset) -> str:
    return f"{item.get('RelationshipType')} {item.get('ValueType')} {concept(item)}"


def _groups(report: Dataset) -> Iterator[str]:
    evidence = _evidence(report)
    for group in measurement_groups(report):
        items = group.get("ContentSequence", [])
        yield from _in_rows(items, TID_1501)
        present = {concept(item) for item in items}
        if ("112039" in present) != ("112040" in present):
            yield "TID 1501 rows 2 and 3: a tracking identifier has a tracking UID and the other way round"
        if present & {"111002", "111000", "122405"} and not {"111001", "111003"} <= present:
            yield "TID 4019 rows 1 and 2: name and version are mandatory"
        for item in items:
            yield from _item(item, evidence)


def _item(item: Dataset, evidence: set[str]) -> Iterator[str]:
    match item.get("ValueType"):
        case "NUM":
            yield from _number(item)
        case "IMAGE" if evidence or "ReferencedSOPSequence" not in item:
            uid = item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID if "ReferencedSOPSequence" in item else ""
            if uid not in evidence:
                yield "PS3.3 C.17.2.1: an image that is referenced is in an evidence sequence"
        case "CODE" if concept(item) in {"363698007", "G-C0E3"}:
            for inner in item.get("ContentSequence", []):
                if concept(inner) == "272741003" and inner.ConceptCodeSequence[0].CodeValue not in OF_CID_244:
                    yield "TID 1501 row 7: laterality is of CID 244"


def _number(item: Dataset) -> Iterator[str]:
    values = item.get("MeasuredValueSequence", [])
    if not values and "NumericValueQualifierCodeSequence" not in item:
        yield "TID 300 row 1: a NUM has a value or says why not (CID 42)"
    for value in values:
        if len(value.get("MeasurementUnitsCodeSequence", [])) != 1:
            yield "TID 300 row 1: a NUM has one unit"
        if "FloatingPointValue" in value and abs(value.FloatingPointValue - float(value.NumericValue)) > 1e-12:
            yield "PS3.3 C.18.1: Floating Point Value is Numeric Value, more exactly"


def _evidence(report: Dataset) -> set[str]:
    return {
        instance.ReferencedSOPInstanceUID
        for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
        for study in report.get(keyword, [])
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
