"""The records that travel from folder to report, and their closed vocabularies. Standard library only.

    SourceFile -> Instance | Skipped -> (Decoded beside its pixels) | Skipped -> InstanceScore -> StudyScore

Records are frozen and hold values and tuples, never arrays: pixels travel beside them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

SCHEMA_VERSION = "1"  # of the CSV files and run.json; raised when a column changes its meaning or goes away


class Region(StrEnum):
    """MURA's seven regions, and the two answers for everything else."""

    ELBOW = "elbow"
    FINGER = "finger"
    FOREARM = "forearm"
    HAND = "hand"
    HUMERUS = "humerus"
    SHOULDER = "shoulder"
    WRIST = "wrist"
    OTHER = "other"  # known, and none of the seven
    UNKNOWN = "unknown"  # not stated, or not stated unambiguously


MURA_REGIONS = (
    Region.ELBOW, Region.FINGER, Region.FOREARM, Region.HAND, Region.HUMERUS, Region.SHOULDER, Region.WRIST,
)  # fmt: skip


class Laterality(StrEnum):
    """PS3.3 C.7.3.1 Laterality and C.8.3.1 Image Laterality; `unpaired` and `unknown` are two values."""

    LEFT = "L"
    RIGHT = "R"
    BOTH = "B"
    UNPAIRED = "U"
    UNKNOWN = ""


class Sex(StrEnum):
    """PS3.3 C.7.1.1 Patient's Sex."""

    FEMALE = "F"
    MALE = "M"
    OTHER = "O"
    UNKNOWN = ""


OLDEST_AGE = 90  # years; stands for every greater age, which would identify a patient (45 CFR 164.514(b)(2)(i)(C))


class Stage(StrEnum):
    """Where on its way a file was skipped."""

    DISCOVER = "discover"
    HEADER = "header"
    STUDY = "study"  # grouping: duplicates, conflicts, mixed regions
    PIXELS = "pixels"
    SCORE = "score"


class Reason(StrEnum):
    """Why a file was not scored: the closed set. `mura_batch.reasons.ADVICE` has a sentence for each."""

    # discover
    UNREADABLE_FILE = "unreadable_file"
    UNREADABLE_FOLDER = "unreadable_folder"
    SYMLINK = "symlink"
    SPECIAL_FILE = "special_file"
    SERVICE_FOLDER = "service_folder"  # of the storage system: snapshots, recycle bins, partial transfers
    TOO_YOUNG = "too_young"
    SAME_FILE = "same_file"  # a hard link to a file already seen
    CHANGED_WHILE_READ = "changed_while_read"
    # header
    EMPTY_FILE = "empty_file"
    NOT_DICOM = "not_dicom"
    ARCHIVE = "archive"  # zip, gzip, tar, ...: not looked into
    DICOMDIR = "dicomdir"
    TRUNCATED = "truncated"
    DAMAGED_HEADER = "damaged_header"
    NOT_AN_IMAGE = "not_an_image"  # report, presentation state, key object, ...
    NO_PIXEL_DATA = "no_pixel_data"
    NOT_A_RADIOGRAPH = "not_a_radiograph"  # SOP class or modality
    FOR_PROCESSING = "for_processing"
    DERIVED = "derived"
    SCREEN_CAPTURE = "screen_capture"
    LOCALIZER = "localizer"
    BURNED_IN_ANNOTATION = "burned_in_annotation"
    COLOUR = "colour"
    MULTI_FRAME = "multi_frame"
    ANIMAL = "animal"
    QUALITY_CONTROL = "quality_control"
    NO_STUDY_UID = "no_study_uid"
    NO_SOP_UID = "no_sop_uid"
    OTHER_REGION = "other_region"
    UNKNOWN_REGION = "unknown_region"
    AMBIGUOUS_REGION = "ambiguous_region"
    REGION_NOT_CHOSEN = "region_not_chosen"  # --regions leaves it out
    TOO_LARGE = "too_large"
    # study
    DUPLICATE = "duplicate"  # same SOP Instance UID, same bytes: one is kept
    CONFLICTING_DUPLICATE = "conflicting_duplicate"  # same SOP Instance UID, other bytes: all set aside
    CONFLICTING_PATIENT = "conflicting_patient"  # one StudyInstanceUID under two patients: all set aside
    # pixels
    UNSUPPORTED_SYNTAX = "unsupported_transfer_syntax"
    BAD_PIXEL_DESCRIPTION = "bad_pixel_description"  # Rows, Bits, Photometric ... missing or impossible
    PIXEL_SIZE_MISMATCH = "pixel_size_mismatch"  # header and pixel data or codestream disagree
    UNDECODABLE_PIXELS = "undecodable_pixels"
    BLANK_IMAGE = "blank_image"
    WORKER_CRASHED = "worker_crashed"
    WORKER_TIMEOUT = "worker_timeout"
    WORKER_MEMORY = "worker_memory"
    # score
    OUT_OF_TIME = "out_of_time"  # --stop-after came first: left for the next run
    NOT_FINITE = "not_finite"


# Reasons that mean "this input should have been readable": they turn exit code 0 into 3. The rest are what an
# export normally holds beside radiographs.
UNREADABLE = frozenset({
    Reason.NO_PIXEL_DATA, Reason.UNREADABLE_FILE, Reason.UNREADABLE_FOLDER, Reason.CHANGED_WHILE_READ,
    Reason.EMPTY_FILE, Reason.TRUNCATED, Reason.DAMAGED_HEADER, Reason.NO_STUDY_UID, Reason.NO_SOP_UID,
    Reason.TOO_LARGE, Reason.CONFLICTING_DUPLICATE, Reason.CONFLICTING_PATIENT, Reason.UNSUPPORTED_SYNTAX,
    Reason.BAD_PIXEL_DESCRIPTION, Reason.PIXEL_SIZE_MISMATCH, Reason.UNDECODABLE_PIXELS, Reason.WORKER_CRASHED,
    Reason.WORKER_TIMEOUT, Reason.WORKER_MEMORY, Reason.NOT_FINITE,
})  # fmt: skip


class StudyStatus(StrEnum):
    """One for every study found."""

    SCORED = "scored"  # every scorable instance of it was scored
    PARTIAL = "partial"  # scored, but some of its radiographs could not be read
    UNCHANGED = "unchanged"  # nothing new since an earlier run; the score is that run's
    SKIPPED = "skipped"  # nothing of it was scorable
    SET_ASIDE = "set_aside"  # conflicting identity: a person must look
    FAILED = "failed"  # it had scorable radiographs and none could be read


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file found under the studies folder. path: relative to that folder, as the file system spells it."""

    path: str
    size: int  # bytes
    mtime_ns: int
    ctime_ns: int  # no program can set it: content that changes under an old mtime changes it


@dataclass(frozen=True, slots=True)
class RegionFinding:
    """A region and how it was found. source: 'site', 'code', 'body_part', 'procedure', 'protocol', 'study_description',
    'series_description' or 'none'. evidence: the value that named it. confidence: 'high', 'medium', 'low' or 'none'.
    disagreement: another source named another region."""

    region: Region
    source: str = "none"
    evidence: str = ""
    confidence: str = "none"
    disagreement: str = ""


@dataclass(frozen=True, slots=True)
class Instance:
    """A radiograph that may be scored: what its header says. Holds no name and no birth date."""

    source: SourceFile
    sop_instance_uid: str
    sop_class_uid: str
    study_uid: str
    series_uid: str
    # Short hash of Patient ID, and "-" and that of its issuer if named; "" where no patient is named. Anybody can
    # compute it: it is for the ledger, outputs have a key of it (pseudonyms.Pseudonyms.patient).
    patient_key: str
    accession: str
    study_date: str  # DICOM DA, YYYYMMDD, or ""
    modality: str
    region: RegionFinding
    laterality: Laterality
    view_position: str
    transfer_syntax: str
    photometric: str
    rows: int
    columns: int
    bits_stored: int
    flags: tuple[str, ...] = ()  # oddities a reader should know of, in words
    # Unknown of a file that was read before these were recorded: it is read again only when it changes.
    sex: Sex = Sex.UNKNOWN
    age: int | None = None  # completed years at the study, at most OLDEST_AGE
    manufacturer: str = ""
    manufacturer_model: str = ""  # of the device
    station_name: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is not scored: where, why, and the detail in words. From the header stage on the identity
    is known, and region and side where the header got as far as to be judged by them."""

    source: SourceFile
    stage: Stage
    reason: Reason
    detail: str = ""
    study_uid: str = ""
    sop_instance_uid: str = ""
    accession: str = ""
    region: Region = Region.UNKNOWN
    laterality: Laterality = Laterality.UNKNOWN


def skip_instance(instance: Instance, stage: Stage, reason: Reason, detail: str) -> Skipped:
    """The record of a radiograph that is not scored after all, with its identity."""
    return Skipped(
        source=instance.source,
        stage=stage,
        reason=reason,
        detail=detail,
        study_uid=instance.study_uid,
        sop_instance_uid=instance.sop_instance_uid,
        accession=instance.accession,
        region=instance.region.region,
        laterality=instance.laterality,
    )


@dataclass(frozen=True, slots=True)
class PixelDecisions:
    """Every decision between stored values and model input, recorded beside the score."""

    decoder: str  # e.g. 'native', 'pillow:jpeg2000', 'imagecodecs:jpegls'
    reduction: int  # the frame was decoded or shown at 1/reduction of its size: 1, 2, 4, 8
    modality_transform: str  # 'none', 'rescale', 'lut', 'ignored: ...'
    voi: str  # 'window linear', 'window linear_exact', 'window sigmoid', 'voi lut', 'percentiles', 'full range'
    window_center: float | None
    window_width: float | None
    polarity: str  # 'as stored' or 'inverted'
    polarity_reason: str
    pixel_aspect: float  # pixel height over pixel width
    flags: tuple[str, ...] = ()
    voi_scores: tuple[tuple[str, float], ...] = ()  # --voi-check: (voi, probability), the picture's own first


@dataclass(frozen=True, slots=True)
class Decoded:
    """An instance whose model input travels beside this record. content_hash: SHA-256 of the file, hex."""

    instance: Instance
    content_hash: str
    decisions: PixelDecisions
    is_alternative: bool = False  # --voi-check: another VOI transform; its score is compared and not kept


@dataclass(frozen=True, slots=True)
class InstanceScore:
    """probability: of abnormality, 0 to 1. reused: taken from the ledger, not computed in this run. distance: squared
    Mahalanobis distance of the image's features from the model's training images, None where it is not known."""

    decoded: Decoded
    probability: float
    reused: bool = False
    distance: float | None = None

    @property
    def instance(self) -> Instance:
        return self.decoded.instance


@dataclass(frozen=True, slots=True)
class EarlierModel:
    """What gave a study the score that it keeps, where that is not the model of the run with its settings."""

    hash: str
    settings: str
    name: str
    version: str
    threshold: float

    def __str__(self) -> str:
        return f"{self.name} {self.version} (model {self.hash[:10]}, settings {self.settings})"


@dataclass(frozen=True, slots=True)
class StudyFiles:
    """What became of every file of one study."""

    study_uid: str
    scored: tuple[InstanceScore, ...]
    failed: tuple[tuple[Instance, Skipped], ...]  # radiographs by their header that were not scored
    skipped: tuple[Skipped, ...]  # the rest: skipped by their header; of these, the UNREADABLE ones are radiographs
    earlier: EarlierModel | None = None  # that gave the scores, None for the run's own


@dataclass(frozen=True, slots=True)
class StudyScore:
    """One row of studies.csv. score: arithmetic mean over its scored instances, None where there is none; abnormal
    if greater than the threshold. A study of two regions has two rows, a region of both sides likewise."""

    study_uid: str
    accession: str
    patient_key: str
    study_date: str
    region: Region
    laterality: Laterality
    instances: int  # radiographs of this row, scorable or not
    scored: int
    score: float | None
    abnormal: bool | None
    threshold: float
    status: StudyStatus
    reason: str = ""  # Reason values, ';' between them, and flags
    earlier_model: str = ""  # that gave the score, with its settings; '' for the run's own

    @property
    def row_key(self) -> str:
        return row_key(self.study_uid, self.region, self.laterality)


@dataclass(frozen=True, slots=True)
class MissingStudy:
    """A study of an earlier run of which this run sees no file. files: how many the ledger has. accession, study_date:
    of one of its radiographs, '' where it has none."""

    study_uid: str
    accession: str
    study_date: str
    files: int


def row_key(study_uid: str, region: str, laterality: str) -> str:
    """Names a study row in every output: the study, the region and, where it is known, the side."""
    return "/".join(filter(None, (study_uid, region, laterality)))


def rounded(value: float) -> float:
    """As the tables of a run hold it: to nine significant digits, which a float32 survives."""
    return float(f"{value:.9g}")


def short_key(text: str) -> str:
    """Ten hexadecimal digits that name a patient in the ledger. Whoever knows all Patient IDs can find it out: for
    outputs and messages there are `pseudonyms`."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:10]
