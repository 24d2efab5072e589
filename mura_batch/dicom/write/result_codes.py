"""The codes of result objects. Each is in PS3.16 2024d, in the context group named beside it."""

from __future__ import annotations

from collections.abc import Iterable

from pydicom.sr.coding import Code

from mura_batch.records import Laterality, Reason, Region, StudyStatus

FINDING = Code("121071", "DCM", "Finding")  # TID 1501 row 3b
NORMALITY = Code("121402", "DCM", "Normality")
ABNORMAL = Code("263654008", "SCT", "Abnormal")  # CID 222 Normality
NORMAL = Code("17621005", "SCT", "Normal")
UNDETERMINED = Code("371934000", "SCT", "Normality Undetermined")
PROBABILITY = Code("122157", "DCM", "Probability")
NO_UNITS = Code("1", "UCUM", "no units")
FAMILY = Code("123110", "DCM", "Artificial Intelligence")  # CID 7162
# CID 100. Its (43468-8, LN, "XR unspecified body region") says more, and is younger than the validator of the IHE
# Connectathon in Debian, which takes it for an error.
PROCEDURE = Code("363679005", "SCT", "Imaging procedure")
VISUAL_EXPLANATION = Code("130401", "DCM", "Visual explanation")  # TID 1501 row 9d
CLASS_ACTIVATION = Code("130402", "DCM", "Class activation")  # CID 217 Visual Explanation
SOURCE_OF_MEASUREMENT = Code("121112", "DCM", "Source of Measurement")  # CID 7551
OPERATING_POINT = Code("111081", "DCM", "CAD Operating Point Description")
PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")  # CID 7005

# CID 4031 Common Anatomic Regions.
SITE = {
    Region.FINGER: Code("7569003", "SCT", "Finger"),
    Region.HAND: Code("85562004", "SCT", "Hand"),
    Region.WRIST: Code("74670003", "SCT", "Wrist joint"),
    Region.FOREARM: Code("14975008", "SCT", "Forearm"),
    Region.ELBOW: Code("16953009", "SCT", "Elbow joint"),
    Region.HUMERUS: Code("85050009", "SCT", "Humerus"),
    Region.SHOULDER: Code("16982005", "SCT", "Shoulder"),
}
BODY_PART = {region: region.value.upper() for region in SITE}  # PS3.16 Annex L: the names agree
# CID 244 Laterality. A side that nobody stated is left out.
SIDE = {
    Laterality.LEFT: Code("7771000", "SCT", "Left"),
    Laterality.RIGHT: Code("24028007", "SCT", "Right"),
    Laterality.BOTH: Code("51440002", "SCT", "Bilateral"),
}

PROCESSING_SUMMARY = Code("111017", "DCM", "CAD Processing and Findings Summary")  # value: CID 6047
WITHOUT_FINDINGS = Code("111241", "DCM", "All algorithms succeeded; without findings")
WITH_FINDINGS = Code("111242", "DCM", "All algorithms succeeded; with findings")
PARTLY_WITHOUT_FINDINGS = Code("111243", "DCM", "Not all algorithms succeeded; without findings")
PARTLY_WITH_FINDINGS = Code("111244", "DCM", "Not all algorithms succeeded; with findings")
NO_ALGORITHM_SUCCEEDED = Code("111245", "DCM", "No algorithms succeeded; without findings")

ANALYSES = Code("111065", "DCM", "Summary of Analyses")  # value: CID 6042 Status of Results
SUCCEEDED = Code("111222", "DCM", "Succeeded")
PARTIALLY_SUCCEEDED = Code("111223", "DCM", "Partially Succeeded")
FAILED = Code("111224", "DCM", "Failed")
NOT_ATTEMPTED = Code("111225", "DCM", "Not Attempted")

WHY_STOPPED = Code("246101005", "SCT", "Reason for stopping test")  # value: CID 9300 or 9303
WRONG_FORMAT = Code("110521", "DCM", "Objects incorrectly formatted")
WRONG_TYPE = Code("110522", "DCM", "Object Types not supported")
INCOMPLETE = Code("110523", "DCM", "Object Set incomplete")
MEDIA_FAILURE = Code("110524", "DCM", "Media Failure")
RESOURCE = Code("110527", "DCM", "Resource inadequate")
QUALITY = Code("110531", "DCM", "Insufficient quality for interpretation")  # CID 9303
UNSPECIFIED = Code("110513", "DCM", "Discontinued for unspecified reason")

_R = Reason
# docs/dicom-conformance.md shows this table; a test compares them.
WHY_NOT_SCORED: dict[Reason, Code] = {
    **dict.fromkeys(
        [_R.EMPTY_FILE, _R.NOT_DICOM, _R.ARCHIVE, _R.DICOMDIR, _R.TRUNCATED, _R.DAMAGED_HEADER, _R.NO_STUDY_UID,
         _R.NO_SOP_UID,
         _R.BAD_PIXEL_DESCRIPTION, _R.PIXEL_SIZE_MISMATCH, _R.UNDECODABLE_PIXELS, _R.CONFLICTING_DUPLICATE,
         _R.CONFLICTING_PATIENT, _R.ARCHIVE],
        WRONG_FORMAT,
    ),
    **dict.fromkeys(
        [_R.NOT_AN_IMAGE, _R.NOT_A_RADIOGRAPH, _R.FOR_PROCESSING, _R.DERIVED, _R.SCREEN_CAPTURE, _R.LOCALIZER,
         _R.BURNED_IN_ANNOTATION, _R.COLOUR, _R.MULTI_FRAME, _R.ANIMAL, _R.QUALITY_CONTROL, _R.OTHER_REGION,
         _R.UNKNOWN_REGION, _R.AMBIGUOUS_REGION, _R.REGION_NOT_CHOSEN, _R.UNSUPPORTED_SYNTAX],
        WRONG_TYPE,
    ),
    **dict.fromkeys([_R.NO_PIXEL_DATA], INCOMPLETE),
    **dict.fromkeys([_R.UNREADABLE_FILE, _R.UNREADABLE_FOLDER, _R.CHANGED_WHILE_READ], MEDIA_FAILURE),
    **dict.fromkeys([_R.TOO_LARGE, _R.WORKER_CRASHED, _R.WORKER_TIMEOUT, _R.WORKER_MEMORY], RESOURCE),
    **dict.fromkeys([_R.BLANK_IMAGE], QUALITY),
    **dict.fromkeys(
        [_R.SYMLINK, _R.SPECIAL_FILE, _R.SERVICE_FOLDER, _R.TOO_YOUNG, _R.SAME_FILE, _R.DUPLICATE, _R.OUT_OF_TIME,
         _R.NOT_FINITE],
        UNSPECIFIED,
    ),
}  # fmt: skip


def analyses(status: StudyStatus) -> Code:
    """CID 6042: how far the analysis of a study came."""
    match status:
        case StudyStatus.SCORED | StudyStatus.UNCHANGED:
            return SUCCEEDED
        case StudyStatus.PARTIAL:
            return PARTIALLY_SUCCEEDED
        case StudyStatus.FAILED:
            return FAILED
        case _:
            return NOT_ATTEMPTED


def processing_summary(status: StudyStatus, abnormal: bool | None) -> Code:
    """CID 6047. abnormal: None for a study without a score."""
    if abnormal is None:
        return NO_ALGORITHM_SUCCEEDED
    if status is StudyStatus.PARTIAL:
        return PARTLY_WITH_FINDINGS if abnormal else PARTLY_WITHOUT_FINDINGS
    return WITH_FINDINGS if abnormal else WITHOUT_FINDINGS


def why_not_scored(reasons: Iterable[Reason]) -> tuple[Code, ...]:
    """The distinct codes of these reasons, in the order of their values."""
    found = {WHY_NOT_SCORED[reason] for reason in reasons}
    return tuple(sorted(found, key=lambda code: code.value)) or (UNSPECIFIED,)
