"""The tables of a run: their columns and the values of their rows. Formats write them; docs/outputs.md describes
them, docs/python.md their types."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from mura_batch.outputs.disclosure import Disclosure
from mura_batch.reasons import ADVICE
from mura_batch.records import (
    SCHEMA_VERSION,
    InstanceScore,
    Laterality,
    MissingStudy,
    PixelDecisions,
    Reason,
    Region,
    Sex,
    Skipped,
    Stage,
    StudyScore,
    StudyStatus,
)


class Kind(StrEnum):
    """What a column holds."""

    TEXT = "text"
    CATEGORY = "category"  # text that takes few values
    INTEGER = "integer"
    NUMBER = "number"
    YES_NO = "yes or no"
    DATE = "date"  # DICOM DA, YYYYMMDD


_T, _C, _I, _N, _B, _D = Kind.TEXT, Kind.CATEGORY, Kind.INTEGER, Kind.NUMBER, Kind.YES_NO, Kind.DATE
TABLES: dict[str, dict[str, Kind]] = {
    "studies": {
        "schema_version": _C, "study_uid": _T, "accession": _T, "patient_key": _T, "study_date": _D, "region": _C,
        "laterality": _C, "instances": _I, "scored": _I, "score": _N, "abnormal": _B, "threshold": _N, "status": _C,
        "reason": _T, "model": _C, "study_key": _T, "row_key": _T,
        "earlier_model": _C,
    },
    "images": {
        "schema_version": _C, "study_uid": _T, "accession": _T, "series_uid": _T, "sop_instance_uid": _T, "file": _T,
        "file_key": _T, "region": _C, "region_source": _C, "region_evidence": _T, "region_confidence": _C,
        "region_disagreement": _T, "laterality": _C, "view": _C, "modality": _C, "photometric": _C, "rows": _I,
        "columns": _I, "bits_stored": _I, "transfer_syntax": _C, "manufacturer": _C,
        "manufacturer_model": _C, "station_name": _C, "decoder": _C, "reduction": _I,
        "modality_transform": _C, "voi": _C, "window_center": _N, "window_width": _N, "polarity": _C,
        "polarity_reason": _C, "pixel_aspect": _N, "flags": _T, "probability": _N, "reused": _B, "content_hash": _T,
        "row_key": _T, "voi_check": _T, "patient_sex": _C, "patient_age": _I,
        "earlier_model": _C, "distance": _N, "outlier": _B,
    },
    "skipped": {
        "schema_version": _C, "file": _T, "file_key": _T, "stage": _C, "reason": _C, "detail": _T, "advice": _C,
        "study_uid": _T, "sop_instance_uid": _T, "accession": _T, "region": _C,
    },
    "missing": {
        "schema_version": _C, "study_uid": _T, "accession": _T, "study_date": _D, "files": _I, "study_key": _T,
    },
}  # fmt: skip
CLOSED: dict[str, type[StrEnum]] = {  # columns of kind CATEGORY whose values are one of a closed set
    "region": Region, "laterality": Laterality, "status": StudyStatus, "stage": Stage, "reason": Reason,
    "patient_sex": Sex,
}  # fmt: skip
_LATER = frozenset(
    {
        "manufacturer",
        "manufacturer_model",
        "station_name",
        "patient_sex",
        "patient_age",
        "earlier_model",
        "distance",
        "outlier",
    }
)
LONGEST_TEXT = 32_000  # characters: a spreadsheet's cell ends at 32,767, a hostile header's text may not end at all

Value = str | float | None  # an int is a float to the type checker, and so is a bool
Values = tuple[Value, ...]
Row = dict[str, str]  # column -> value as text, '' where there is none


def absent_columns(table: str, there: Iterable[str]) -> str:
    """The names of the columns that a file lacks, '' where none is missing. Those that runs did not always write do not
    count: they are read as unknown."""
    return ", ".join(sorted(TABLES[table].keys() - set(there) - _LATER))


def study_values(s: StudyScore, model: str, keys: Disclosure) -> Values:
    """A row of `studies`. model: name of the run's."""
    return (
        SCHEMA_VERSION, s.study_uid, s.accession, s.patient_key, s.study_date, s.region, s.laterality, s.instances,
        s.scored, s.score, s.abnormal, s.threshold, s.status, s.reason, s.earlier_model or model,
        keys.study_key(s.study_uid), s.row_key, s.earlier_model,
    )  # fmt: skip


def image_values(
    score: InstanceScore, row: StudyScore, keys: Disclosure, outlier_limit: float | None
) -> tuple[Values, ...]:
    """A row of `images` in five groups. The three in the middle differ little among the images of one device: a format
    may cache their text. row: of the study, into which the image is averaged. outlier_limit: as RunInfo has it."""
    i, d, r = score.instance, score.decoded.decisions, score.instance.region
    path = i.source.path
    return (
        (SCHEMA_VERSION, i.study_uid, i.accession, i.series_uid, i.sop_instance_uid, path, keys.file_key(path)),
        (r.region, r.source, keys.evidence(r), r.confidence, r.disagreement),
        (
            i.laterality, i.view_position, i.modality, i.photometric, i.rows, i.columns, i.bits_stored,
            i.transfer_syntax, i.manufacturer, i.manufacturer_model, i.station_name,
        ),
        (
            d.decoder, d.reduction, d.modality_transform, d.voi, d.window_center, d.window_width, d.polarity,
            d.polarity_reason, d.pixel_aspect,
        ),
        (
            flags_of(score), score.probability, score.reused, score.decoded.content_hash, row.row_key,
            voi_check(d, row.threshold), i.sex, i.age, row.earlier_model, score.distance,
            is_outlier(score, outlier_limit),
        ),
    )  # fmt: skip


def is_outlier(score: InstanceScore, limit: float | None) -> bool | None:
    """None where the distance or the limit is not known."""
    return None if score.distance is None or limit is None else score.distance > limit


def voi_check(decisions: PixelDecisions, threshold: float) -> str:
    """The scores by VOI transform where they fall on different sides of the threshold, else ''."""
    sides = {score > threshold for _, score in decisions.voi_scores}
    return "; ".join(f"{voi} {score:.3f}" for voi, score in decisions.voi_scores) if len(sides) > 1 else ""


def flags_of(score: InstanceScore) -> str:
    return "; ".join((*score.instance.flags, *score.decoded.decisions.flags))


def skip_values(s: Skipped, keys: Disclosure) -> Values:
    """A row of `skipped`."""
    return (
        SCHEMA_VERSION, s.source.path, keys.file_key(s.source.path), s.stage, s.reason, s.detail, ADVICE[s.reason],
        s.study_uid, s.sop_instance_uid, s.accession, s.region,
    )  # fmt: skip


def missing_values(s: MissingStudy, keys: Disclosure) -> Values:
    """A row of `missing`."""
    return (SCHEMA_VERSION, s.study_uid, s.accession, s.study_date, s.files, keys.study_key(s.study_uid))


def cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} ..."


def as_text(value: Value) -> str:
    """A value as a Row has it, the same for every format."""
    match value:
        case None:
            return ""
        case bool():
            return f"{value:d}"
        case float():
            return f"{value:.9g}"
    return cut(str(value))


def study_of(row: Row) -> StudyScore:
    """The record that a row of `studies` was written from. Raises ValueError where it cannot be one."""
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
        earlier_model=row["earlier_model"],
    )
