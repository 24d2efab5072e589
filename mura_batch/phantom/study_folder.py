"""The export: a folder as a PACS writes it, with everything that lies about in one."""

from __future__ import annotations

import csv
import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from mura_batch.atomic_files import atomic_folder
from mura_batch.dicom import syntax
from mura_batch.dicom.write.directory import write_dicomdir
from mura_batch.dicom.write.documents import write_presentation_state, write_text_report
from mura_batch.dicom.write.radiograph import ObjectHeader, write_radiograph
from mura_batch.errors import InputError
from mura_batch.phantom.drawing import draw
from mura_batch.phantom.options import PhantomOptions, PhantomSummary
from mura_batch.phantom.study_plan import ImagePlan, StudyPlan, plan_chest, plan_image, plan_study, uid
from mura_batch.phantom.technique import Technique, stored_values
from mura_batch.records import Region

TRUTH_COLUMNS = ("study_uid", "accession", "region", "label")
# Files get this time, so that the same seed gives the same folder.
WRITTEN_AT = int(datetime(2024, 2, 1, tzinfo=UTC).timestamp() * 10**9)
NOTE = """This folder was written by mura-batch phantom. The pictures are drawings; no patient was ever in them.
truth.csv says which studies were drawn with a fracture or with metal (label 1).
"""


def write_export(out: Path, options: PhantomOptions, report: Callable[[int, int], None] | None) -> PhantomSummary:
    """See mura_batch.phantom.make_phantoms."""
    out = _checked(out, options)
    with atomic_folder(out, "choose another folder") as folder:
        summary = _fill(folder, options, report)
        _backdate(folder)
    return replace(summary, folder=out)


def _checked(out: Path, options: PhantomOptions) -> Path:
    if options.studies < 1 or options.seed < 0:
        asked = f"{options.studies} studies with seed {options.seed}"
        raise InputError(f"{asked}: ask for at least 1 study and a seed of 0 or more")
    try:
        out = out.resolve()
        if out.exists() and not out.is_dir():
            raise InputError(f"{out} is a file; name a new folder")
        if out.exists() and any(out.iterdir()):
            raise InputError(f"{out} is not empty; name a new folder, or empty this one first")
    except OSError as error:
        raise InputError(f"{out} cannot be looked into: {error.strerror or error}; name a new folder") from error
    return out


def _fill(root: Path, options: PhantomOptions, report: Callable[[int, int], None] | None) -> PhantomSummary:
    studies = [plan_study(number, options) for number in range(options.studies)]
    counts: Counter[str] = Counter()
    for done, study in enumerate(studies, start=1):
        for image in study.images:
            _write_image(root, image)
        counts["radiograph"] += len(study.images)
        if report is not None:
            report(done, options.studies)
    chest = plan_chest(options)
    listed = [image.path for study in (*studies, chest) for image in study.images]
    _write_image(root, chest.images[0])
    listed += [_write_report(root, studies[0], options), _write_presentation(root, studies[0], options)]
    write_dicomdir(root, [root.joinpath(*path) for path in sorted(listed)], uid(options, "DICOMDIR"))
    _write_truncated(root, studies[-1], options)
    _write_duplicate(root, studies[0])
    (root / "README.TXT").write_text(NOTE, encoding="ascii", newline="\r\n")
    _write_truth(root, studies)
    others = ("chest", "structured report", "presentation state", "DICOMDIR", "truncated", "duplicate", "text", "truth")
    counts.update(dict.fromkeys(others, 1))
    return PhantomSummary(root, len(studies), sum(study.abnormal for study in studies), tuple(counts.items()))


def _write_image(root: Path, image: ImagePlan) -> None:
    path = root.joinpath(*image.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = stored_values(draw(image.exposure), image.technique)
    write_radiograph(path, image.radiograph, stored, image.technique.syntax)


def _object_header(
    study: StudyPlan, options: PhantomOptions, series: int, kind: str
) -> tuple[ObjectHeader, tuple[str, ...]]:
    """The header of something that is no picture, and its place below the export's folder."""
    of_study = study.header.study_uid
    header = ObjectHeader(study.header, uid(options, of_study, kind), series, uid(options, of_study, kind, 1), 1, kind)
    return header, (*study.folder, f"SE{series:06d}", "IM000001")


def _write_report(root: Path, study: StudyPlan, options: PhantomOptions) -> tuple[str, ...]:
    header, place = _object_header(study, options, 91, "REPORT")
    finding = "Fracture or metalwork drawn." if study.abnormal else "Nothing drawn that is abnormal."
    about = tuple(
        (image.radiograph.header.series_uid, image.radiograph.sop_class, image.radiograph.header.sop_instance_uid)
        for image in study.images
    )
    path = _folder(root, place)
    write_text_report(path, header, ("Phantom, not a patient.", finding), about)
    return place


def _write_presentation(root: Path, study: StudyPlan, options: PhantomOptions) -> tuple[str, ...]:
    header, place = _object_header(study, options, 92, "PRESENTATION")
    image = study.images[0]
    shape = (image.exposure.rows, image.exposure.columns)
    write_presentation_state(_folder(root, place), header, image.radiograph, shape)
    return place


def _write_truncated(root: Path, study: StudyPlan, options: PhantomOptions) -> None:
    """One more picture of the last study, whose transfer broke off in the pixel data."""
    last = study.images[-1]
    technique = Technique(last.technique.sop_class, syntax.EXPLICIT_LE)
    exposure = replace(last.exposure, seed=last.exposure.seed + 1)
    image = plan_image(options, study.header, study.folder, exposure, technique, (81, 1))
    _write_image(root, image)
    path = root.joinpath(*image.path)
    os.truncate(path, path.stat().st_size * 6 // 10)


def _write_duplicate(root: Path, study: StudyPlan) -> None:
    copy = _folder(root, ("EXTRA", "copy of IM000001.dcm"))
    shutil.copyfile(root.joinpath(*study.images[0].path), copy)


def _write_truth(root: Path, studies: list[StudyPlan]) -> None:
    with (root / "truth.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(TRUTH_COLUMNS)
        for study in studies:
            region = study.region or Region.OTHER
            writer.writerow((study.header.study_uid, study.header.accession, region.value, int(study.abnormal)))


def _folder(root: Path, place: tuple[str, ...]) -> Path:
    path = root.joinpath(*place)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _backdate(root: Path) -> None:
    for path in sorted(root.rglob("*"), reverse=True):  # files before the folders that hold them
        os.utime(path, ns=(WRITTEN_AT, WRITTEN_AT))
    os.utime(root, ns=(WRITTEN_AT, WRITTEN_AT))
