"""Comprehensive 3D SR of a study: TID 1500 Measurement Report with a TID 1501 group for the study and one for each
image; or one group with a coded status for a study that was not scored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from mura_batch.dicom.write import result_codes as codes
from mura_batch.dicom.write.result_objects import (
    MANUFACTURER,
    NOT_FOR_DIAGNOSIS,
    ImageResult,
    ObjectRef,
    StudyResult,
    common_arguments,
    finish,
    short,
)
from mura_batch.dicom.write.result_source import ResultSource, reference
from mura_batch.dicom.write.result_uids import derived_uid

SERIES_NUMBER = 9003
COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"


def report(result: StudyResult, captures: list[ObjectRef], predecessor: ObjectRef | None) -> Dataset:
    """captures: the secondary captures of its images; each shows one. predecessor: the report of this study row by a
    former score, None for none. A result without a score becomes a report of its status. PS3.3 A.35.13."""
    from highdicom.sr import Comprehensive3DSR

    groups = _scored_groups(result, captures) if result.row.score is not None else _status_group(result)
    sources = [reference(image.source) for image in result.images]
    data: Dataset = Comprehensive3DSR(
        evidence=[*sources, *(capture.dataset() for capture in captures)],
        content=_measurement_report(result, groups),
        is_complete=True,
        is_final=False,  # PRELIMINARY
        is_verified=False,
        previous_versions=[predecessor.dataset()] if predecessor else None,
        **common_arguments(result, SERIES_NUMBER, 1),
    )
    return finish(data, result, result.identity)


def _measurement_report(result: StudyResult, groups: list[Any]) -> Dataset:
    from highdicom.sr import (
        DeviceObserverIdentifyingAttributes,
        MeasurementReport,
        ObservationContext,
        ObserverContext,
    )
    from pydicom.sr.codedict import codes as names

    algorithm = result.algorithm
    device = DeviceObserverIdentifyingAttributes(
        uid=algorithm.device_uid,
        name=short(algorithm.name),
        manufacturer_name=MANUFACTURER,
        model_name=short(algorithm.name),
        serial_number=algorithm.weights[:16],
    )
    observer = ObserverContext(observer_type=names.DCM.Device, observer_identifying_attributes=device)
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer),
        procedure_reported=codes.PROCEDURE,
        imaging_measurements=groups,
    )
    return content[0]


def _scored_groups(result: StudyResult, captures: list[ObjectRef]) -> list[Any]:
    row = result.row
    finding = codes.ABNORMAL if row.abnormal else codes.NORMAL
    threshold = f"Abnormal if the mean probability of the images is greater than {row.threshold:g}"
    study = _group(
        result,
        tracking=("study", ""),
        finding=finding,
        evaluations=[
            (codes.NORMALITY, finding),
            (codes.ANALYSES, codes.analyses(row.status)),
            (codes.PROCESSING_SUMMARY, codes.processing_summary(row.status, row.abnormal)),
        ],
        probability=row.score,
        sources=[image.source for image in result.images],
    )
    _add_captures(study, captures)
    _add_text(study, threshold)
    _sort_rows(study)
    return [study, *(_image_group(result, image, captures) for image in result.images)]


def _image_group(result: StudyResult, image: ImageResult, captures: list[ObjectRef]) -> Any:
    """The threshold is for the study's mean: an image has a probability and no finding of its own."""
    uid = image.source.sop_instance_uid
    group = _group(result, ("image", uid), None, [], image.probability, [image.source])
    _add_captures(group, [capture for capture in captures if capture.shows == uid])
    _sort_rows(group)
    return group


def _status_group(result: StudyResult) -> list[Any]:
    """Never a statement on the patient: normality is undetermined."""
    row = result.row
    group = _group(
        result,
        tracking=("study", ""),
        finding=codes.UNDETERMINED,
        evaluations=[
            (codes.NORMALITY, codes.UNDETERMINED),
            (codes.ANALYSES, codes.analyses(row.status)),
            (codes.PROCESSING_SUMMARY, codes.processing_summary(row.status, None)),
            *((codes.WHY_STOPPED, code) for code in codes.why_not_scored(result.unscored)),
        ],
        probability=None,
        sources=[image.source for image in result.images],
    )
    _sort_rows(group)
    return [group]


def _group(
    result: StudyResult,
    tracking: tuple[str, str],
    finding: Any,
    evaluations: Iterable[tuple[Any, Any]],
    probability: float | None,
    sources: Iterable[ResultSource],
) -> Any:
    from highdicom.sr import (
        Measurement,
        MeasurementsAndQualitativeEvaluations,
        QualitativeEvaluation,
        SourceImageForMeasurementGroup,
    )

    measurements = (
        [
            # a Python float: highdicom refuses NumPy's. NumericValue holds 16 characters, FloatingPointValue the rest
            Measurement(name=codes.PROBABILITY, value=float(probability), unit=codes.NO_UNITS)
        ]
        if probability is not None
        else None
    )
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(result, *tracking),
        finding_type=finding,
        algorithm_id=_algorithm(result, whole=tracking[0] == "study"),
        finding_sites=_sites(result),
        measurements=measurements,
        qualitative_evaluations=[QualitativeEvaluation(name=name, value=value) for name, value in evaluations],
        source_images=[
            SourceImageForMeasurementGroup(source.sop_class_uid, source.sop_instance_uid) for source in sources
        ],
    )


def _tracking(result: StudyResult, level: str, image_uid: str) -> Any:
    """The same for every score of this study row or image: a viewer can follow it from model to model."""
    from highdicom.sr import TrackingIdentifier

    row = result.row
    uid = derived_uid("tracking", row.study_uid, row.region, row.laterality, level, image_uid)
    name = f"{row.region} {row.laterality} {level}".replace("  ", " ")
    return TrackingIdentifier(uid=uid, identifier=f"mura-batch {name} {uid[-6:]}")


def _algorithm(result: StudyResult, *, whole: bool) -> Any:
    """TID 4019. whole: with its parameters, which the study's group states for all."""
    from highdicom.sr import AlgorithmIdentification

    algorithm = result.algorithm
    return AlgorithmIdentification(
        name=algorithm.name,
        version=algorithm.version,
        manufacturer=MANUFACTURER,
        parameters=_parameters(result) if whole else None,
        family=codes.FAMILY,
    )


def _parameters(result: StudyResult) -> tuple[str, ...]:
    algorithm = result.algorithm
    return (
        f"threshold {result.row.threshold:g}",
        f"weights SHA-256 {algorithm.weights}",
        f"settings {algorithm.settings}",
        f"software mura-batch {algorithm.software}",
        NOT_FOR_DIAGNOSIS,
    )


def _sites(result: StudyResult) -> list[Any] | None:
    from highdicom.sr import FindingSite

    site = codes.SITE.get(result.row.region)
    if site is None:
        return None
    return [FindingSite(anatomic_location=site, laterality=codes.SIDE.get(result.row.laterality))]


def _add_captures(group: Any, captures: list[ObjectRef]) -> None:
    """TID 1501 row 9d, which highdicom has no argument for. Its kind, from CID 217, is a modifier: the template is
    extensible."""
    from highdicom.sr import CodeContentItem, ImageContentItem, RelationshipTypeValues

    for capture in captures:
        item = ImageContentItem(
            name=codes.VISUAL_EXPLANATION,
            referenced_sop_class_uid=capture.sop_class_uid,
            referenced_sop_instance_uid=capture.sop_instance_uid,
            relationship_type=RelationshipTypeValues.CONTAINS,
        )
        kind = CodeContentItem(
            name=codes.VISUAL_EXPLANATION,
            value=codes.CLASS_ACTIVATION,
            relationship_type=RelationshipTypeValues.HAS_CONCEPT_MOD,
        )
        item.ContentSequence = Sequence([kind])
        group[0].ContentSequence.append(item)


def _add_text(group: Any, text: str) -> None:
    """TID 1501 row 12: the operating point."""
    from highdicom.sr import RelationshipTypeValues, TextContentItem

    item = TextContentItem(name=codes.OPERATING_POINT, value=text, relationship_type=RelationshipTypeValues.CONTAINS)
    group[0].ContentSequence.append(item)


def _sort_rows(group: Any) -> None:
    """The order of TID 1501 is significant; highdicom puts source images (10b) behind evaluations (11)."""
    content = group[0].ContentSequence
    items = sorted(content, key=_row_rank)  # stable: rows of one rank stay in their order
    del content[:]
    content.extend(items)


def _row_rank(item: Dataset) -> int:
    code = item.ConceptNameCodeSequence[0].CodeValue
    if item.RelationshipType != "CONTAINS" or code == codes.FINDING.value:
        return 0  # rows 1b to 9b, which highdicom has in order
    if code == codes.VISUAL_EXPLANATION.value:
        return 1
    return {"NUM": 2, "IMAGE": 3, "CODE": 4, "TEXT": 5}[item.ValueType]
