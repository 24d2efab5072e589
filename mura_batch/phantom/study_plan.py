"""What an export will hold, before anything is drawn: studies, their patients, techniques and identifiers. Pure: the
same options, the same plan."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from mura_batch.dicom import syntax
from mura_batch.dicom.write.radiograph import CR, DX, Code, ObjectHeader, Radiograph, StudyHeader
from mura_batch.phantom.drawing import CHEST, SETUPS, Exposure, Person, View, spacing_of
from mura_batch.phantom.injuries import Injury
from mura_batch.phantom.options import PhantomOptions
from mura_batch.phantom.technique import Technique, voi_of
from mura_batch.records import MURA_REGIONS, Laterality, Region

# One machine takes a whole study, so a study has one technique; nine of them and seven regions: every pair comes up.
TECHNIQUES = (
    Technique(DX, syntax.EXPLICIT_LE, voi="linear"),
    Technique(CR, syntax.JPEG_LOSSLESS_SV1, photometric="MONOCHROME1", voi="linear"),
    Technique(DX, syntax.JPEG_2000_LOSSLESS, voi="sigmoid"),
    Technique(CR, syntax.IMPLICIT_LE, voi="linear", slope=2.0, intercept=-1024.0),
    Technique(CR, syntax.JPEG_LS_LOSSLESS, bits_stored=16, voi="table"),
    Technique(DX, syntax.RLE, photometric="MONOCHROME1", voi="table and window"),
    Technique(CR, syntax.DEFLATED, voi="two windows"),
    Technique(DX, syntax.JPEG_2000_LOSSLESS, photometric="MONOCHROME1", voi="linear exact"),
    Technique(CR, syntax.EXPLICIT_LE, photometric="MONOCHROME1", voi="none"),
)
VIEW_COUNTS = (2, 3, 1, 2, 4)  # instances of a study, in turn
SECOND_VISIT = 6  # every sixth study is the second one of the patient before
FIRST_DAY = date(2024, 1, 8)

# PS3.16 CID 4031 Common Anatomic Region, SNOMED CT.
REGION_CODES = {
    Region.ELBOW: Code("16953009", "SCT", "Elbow joint"),
    Region.FINGER: Code("7569003", "SCT", "Finger"),
    Region.FOREARM: Code("14975008", "SCT", "Forearm"),
    Region.HAND: Code("85562004", "SCT", "Hand"),
    Region.HUMERUS: Code("85050009", "SCT", "Humerus"),
    Region.SHOULDER: Code("16982005", "SCT", "Shoulder"),
    Region.WRIST: Code("74670003", "SCT", "Wrist joint"),
}
# PS3.16 CID 4010 DX View.
VIEW_CODES = {
    "AP": Code("399348003", "SCT", "antero-posterior"),
    "PA": Code("272479007", "SCT", "postero-anterior"),
    "LAT": Code("399067008", "SCT", "lateral"),
    "OBL": Code("399182000", "SCT", "oblique"),
}


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """One radiograph to write. path: parts below the export's folder."""

    path: tuple[str, ...]
    exposure: Exposure
    technique: Technique
    radiograph: Radiograph


@dataclass(frozen=True, slots=True)
class StudyPlan:
    header: StudyHeader
    folder: tuple[str, ...]
    region: Region | None  # None is a chest
    abnormal: bool
    images: tuple[ImagePlan, ...]


def uid(options: PhantomOptions, *parts: object) -> str:
    """A UID under the UUID root (PS3.5 B.2) that the options and the parts decide."""
    text = "|".join(str(part) for part in ("mura-batch phantom", options.seed, options.small, *parts))
    return f"2.25.{int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], 'big')}"


def plan_study(number: int, options: PhantomOptions) -> StudyPlan:
    """Study `number` (from 0): it does not depend on how many there are."""
    region = MURA_REGIONS[number % len(MURA_REGIONS)]
    rng = np.random.default_rng([options.seed, number, 7])
    side = Laterality.LEFT if rng.random() < 0.5 else Laterality.RIGHT
    injury = injury_of(number, options.seed)
    setup = SETUPS[region]
    views = [setup.views[n % len(setup.views)] for n in range(VIEW_COUNTS[number % len(VIEW_COUNTS)])]
    header, folder = _study_header(number, options, f"XR {side.name} {region.name}")
    person = _person(_patient_of(number), options)
    technique = TECHNIQUES[number % len(TECHNIQUES)]
    images = []
    for n, view in enumerate(views):
        rows, columns = _size(region, options, rng)
        exposure = Exposure(region, view, person, side, injury, rows, columns, seed=number * 16 + n)
        series = n + 1 if technique.sop_class == DX else 1  # a DX machine opens a series for each view
        images.append(plan_image(options, header, folder, exposure, technique, (series, n + 1)))
    return StudyPlan(header, folder, region, injury is not Injury.NONE, tuple(images))


def plan_chest(options: PhantomOptions) -> StudyPlan:
    """The study that is none of the seven regions."""
    header, folder = _study_header(99999, options, "XR CHEST")
    rows = 440 if options.small else 1800
    person = _person(99999, options)
    exposure = Exposure(None, CHEST.views[0], person, Laterality.LEFT, Injury.NONE, rows, rows, seed=1)
    technique = Technique(CR, syntax.EXPLICIT_LE, voi="linear")
    image = plan_image(options, header, folder, exposure, technique, (1, 1))
    return StudyPlan(header, folder, None, False, (image,))


def plan_image(
    options: PhantomOptions,
    study: StudyHeader,
    folder: tuple[str, ...],
    exposure: Exposure,
    technique: Technique,
    place: tuple[int, int],
) -> ImagePlan:
    """place: (series number, instance number)."""
    series, number = place
    region, view, side = exposure.region, exposure.view, exposure.side
    windows, table = voi_of(technique)
    header = ObjectHeader(
        study=study,
        series_uid=uid(options, study.study_uid, series),
        series_number=series,
        sop_instance_uid=uid(options, study.study_uid, series, number),
        number=number,
        series_description=f"{region.name if region else 'CHEST'} {view.name}",
    )
    radiograph = Radiograph(
        header=header,
        sop_class=technique.sop_class,
        body_part=region.name if region else "CHEST",
        region=REGION_CODES[region] if region and technique.sop_class == DX else None,
        laterality=side if region else Laterality.UNPAIRED,
        view_position=_view_position(view, side),
        view=VIEW_CODES[view.name] if technique.sop_class == DX else None,
        spacing=spacing_of(exposure),
        bits_stored=technique.bits_stored,
        photometric=technique.photometric,
        slope=technique.slope,
        intercept=technique.intercept,
        windows=windows,
        table=table,
    )
    path = (*folder, f"SE{series:06d}", f"IM{number:06d}")
    return ImagePlan(path, exposure, technique, radiograph)


def injury_of(number: int, seed: int) -> Injury:
    """Drawn for seven studies at a time; the next seven are the other way round: each region has both in fourteen."""
    block, place = divmod(number, len(MURA_REGIONS))
    drawn = np.random.default_rng([seed, block // 2, 11]).random(len(MURA_REGIONS)) < 0.5
    if bool(drawn[place]) == bool(block % 2):
        return Injury.NONE
    return Injury.METAL if number % 3 == 0 else Injury.FRACTURE


def _patient_of(number: int) -> int:
    return number - 1 if number % SECOND_VISIT == SECOND_VISIT - 1 else number


def _study_header(number: int, options: PhantomOptions, description: str) -> tuple[StudyHeader, tuple[str, ...]]:
    patient = _patient_of(number)
    day = FIRST_DAY + timedelta(days=number % 700)
    header = StudyHeader(
        patient_id=f"PHANTOM{patient + 1:05d}",
        patient_name=f"PHANTOM^{patient + 1:04d}",
        birth_date=f"{1930 + patient * 7 % 80}0101",
        sex="MFO"[patient % 3],
        study_uid=uid(options, "study", number),
        study_id=str(number + 1),
        date=f"{day:%Y%m%d}",
        time=f"{8 + number % 10:02d}{number * 7 % 60:02d}00",
        accession=f"PH{options.seed % 10**6:06d}{number + 1:06d}",
        description=description,
    )
    return header, (f"PA{patient + 1:06d}", f"ST{number - patient + 1:06d}")


def _person(patient: int, options: PhantomOptions) -> Person:
    rng = np.random.default_rng([options.seed, patient, 3])
    size, density, flesh = rng.uniform((0.92, 0.82, 0.85), (1.06, 1.12, 1.2))
    return Person(int(rng.integers(2**31)), float(size), float(density), float(flesh))


def _size(region: Region, options: PhantomOptions, rng: np.random.Generator) -> tuple[int, int]:
    """(rows, columns): detectors and crops differ a little; a shoulder lies across."""
    unit = 1 if options.small else 4
    long_side, short_side = 500 * unit + int(rng.integers(-24, 25)), 400 * unit + int(rng.integers(-20, 21))
    return (short_side, long_side) if region is Region.SHOULDER else (long_side, short_side)


def _view_position(view: View, side: Laterality) -> str:
    """PS3.3 C.8.11.5 View Position."""
    right = side is Laterality.RIGHT
    return {"LAT": "RL" if right else "LL", "OBL": "RLO" if right else "LLO"}.get(view.name, view.name)
