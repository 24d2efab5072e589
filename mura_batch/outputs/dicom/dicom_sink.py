"""The sink that writes result objects: dicom/ in the run's folder, one file an object, and objects.csv beside them."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from mura_batch.atomic_files import output_errors
from mura_batch.errors import OutputError
from mura_batch.outputs.dicom.image_parts import image_parts
from mura_batch.outputs.dicom.objects_table import NOT_WRITTEN, WRITTEN, ObjectRow, write_objects
from mura_batch.outputs.dicom.sources import NoSource, sources_of
from mura_batch.outputs.sink import RunEnd, RunInfo, Sink
from mura_batch.records import InstanceScore, MissingStudy, Reason, Skipped, StudyScore, StudyStatus
from mura_batch.store.dicom_results import DicomResults, StoredReport
from mura_batch.version import __version__

if TYPE_CHECKING:
    from mura_batch.dicom.write.result_objects import Algorithm, ImageResult, ObjectRef
    from mura_batch.dicom.write.result_set import ResultObject

FOLDER = "dicom"  # in the run's folder
_SKIPS_A_STUDY = 16  # files of an unscored study that its report may refer to


@dataclass(frozen=True, slots=True)
class DicomChoice:
    """kinds: of result_set.KINDS. unscored: also a report of the status of each study without a score."""

    kinds: tuple[str, ...]
    unscored: bool


def open_dicom(choice: DicomChoice, results: DicomResults) -> Callable[[RunInfo], AbstractContextManager[Sink]]:
    return partial(DicomObjects, choice, results)


class DicomObjects:
    """Objects of a study are written when its row is given; reports of unscored studies when the run is finished, for
    their files are given after their rows."""

    def __init__(self, choice: DicomChoice, results: DicomResults, run: RunInfo) -> None:
        self._choice, self._results, self._run = choice, results, run
        self._folder = run.folder / FOLDER
        self._rows: list[ObjectRow] = []
        self._reports: list[StoredReport] = []
        self._unscored: dict[str, list[StudyScore]] = {}  # study UID -> its rows
        self._skipped: dict[str, list[Skipped]] = {}

    def __enter__(self) -> Self:
        try:
            self._folder.mkdir(mode=0o700)
        except OSError as error:
            raise OutputError(f"{self._folder} cannot be written ({error.strerror}): check its disk") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def study(self, row: StudyScore, images: Sequence[InstanceScore]) -> None:
        if row.earlier_model:
            return  # the objects of its run name the model that gave the score
        if row.score is not None:
            self._write_scored(row, images)
        elif self._choice.unscored and row.reason != Reason.OUT_OF_TIME:  # a report that the next night contradicts
            self._unscored.setdefault(row.study_uid, []).append(row)

    def skip(self, skip: Skipped) -> None:
        if skip.study_uid in self._unscored:
            known = self._skipped.setdefault(skip.study_uid, [])
            if len(known) < _SKIPS_A_STUDY:
                known.append(skip)

    def missing(self, study: MissingStudy) -> None:
        pass

    def finish(self, end: RunEnd) -> None:
        for rows in self._unscored.values():
            for row in rows:
                self._write_unscored(row)
        write_objects(self._folder, self._rows)
        self._results.put_reports(self._reports)

    def _write_scored(self, row: StudyScore, images: Sequence[InstanceScore]) -> None:
        from mura_batch.dicom.write.result_objects import ImageResult

        sources = sources_of(self._run.studies, row.study_uid, images)
        if isinstance(sources, NoSource):
            self._refuse(row, self._choice.kinds, sources.reason)
            return
        scored = tuple(
            ImageResult(source, image.probability, image.decoded.decisions)
            for source, image in zip(sources, images, strict=True)
        )
        fact = _fact(row, self._algorithm(), [f"{i.decoded.content_hash} {i.probability!r}" for i in images])
        times = [self._results.committed(i.decoded.content_hash) for i in images]
        known = [time for time in times if time is not None]
        committed = max(known) if len(known) == len(times) else self._results.first_time(fact, self._run.started)
        self._write(row, scored, fact, committed, images)

    def _write_unscored(self, row: StudyScore) -> None:
        skips = self._skipped.get(row.study_uid, [])
        if row.status is StudyStatus.SET_ASIDE:
            self._refuse(row, ("sr",), "identity_in_conflict")
            return
        sources = sources_of(self._run.studies, row.study_uid, skips)
        if isinstance(sources, NoSource):
            self._refuse(row, ("sr",), sources.reason)
            return
        from mura_batch.dicom.write.result_objects import NOT_DISPLAYED, ImageResult

        images = tuple(ImageResult(source, 0.0, NOT_DISPLAYED) for source in sources)
        fact = _fact(row, self._algorithm(), [source.sop_instance_uid for source in sources])
        self._write(row, images, fact, self._results.first_time(fact, self._run.started), ())

    def _write(
        self,
        row: StudyScore,
        images: tuple[ImageResult, ...],
        fact: str,
        committed: datetime,
        scores: Sequence[InstanceScore],
    ) -> None:
        from mura_batch.dicom.write.result_objects import ObjectRef, StudyResult
        from mura_batch.dicom.write.result_set import result_set

        reasons = tuple(Reason(text) for text in row.reason.split(";") if text) if not scores else ()
        result = StudyResult(row, images, self._algorithm(), committed, reasons)
        kinds = self._choice.kinds if scores else ("sr",)
        parts = tuple(image_parts(result, number, self._run, score) for number, score in enumerate(scores))
        former = self._results.predecessor(fact, row.row_key, committed)
        before = (
            ObjectRef(former.sop_class_uid, former.sop_uid, former.series_uid, former.study_uid) if former else None
        )
        notes = "; ".join(dict.fromkeys(note for image in images for note in image.source.notes))
        for made in result_set(result, kinds, parts, before):
            self._keep(row, made, notes)
            if made.kind == "sr" and made.ref is not None:
                self._reports.append(_stored(fact, row, made.ref, committed, former))

    def _keep(self, row: StudyScore, made: ResultObject, notes: str) -> None:
        if made.data is None or made.ref is None:
            self._rows.append(ObjectRow(row.study_uid, row.row_key, made.kind, NOT_WRITTEN, made.reason))
            return
        name = f"{made.ref.sop_instance_uid}.dcm"  # our own UID: digits and dots
        _write_new(self._folder / name, made.data)
        self._rows.append(
            ObjectRow(
                study_uid=row.study_uid,
                row_key=row.row_key,
                kind=made.kind,
                status=WRITTEN,
                file=name,
                sop_class_uid=made.ref.sop_class_uid,
                sop_instance_uid=made.ref.sop_instance_uid,
                series_instance_uid=made.ref.series_uid,
                sha256=hashlib.sha256(made.data).hexdigest(),
                notes=notes,
            )
        )

    def _refuse(self, row: StudyScore, kinds: Sequence[str], reason: str) -> None:
        for kind in kinds:
            self._rows.append(ObjectRow(row.study_uid, row.row_key, kind, NOT_WRITTEN, reason))

    def _algorithm(self) -> Algorithm:
        from mura_batch.dicom.write.result_objects import Algorithm

        model = self._run.model
        return Algorithm(model.card.name, model.card.version, model.hash, self._run.settings_hash, __version__)


def _write_new(path: Path, data: bytes) -> None:
    """Not flushed one by one: `send` checks each file by its hash in the table, and objects can be made again."""
    with output_errors(path), open(os.open(path, _NEW, 0o600), "wb") as file:
        file.write(data)


_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def _fact(row: StudyScore, algorithm: Algorithm, images: Sequence[str]) -> str:
    """Names what a report says, whenever and from whichever run it is made."""
    says = (row.row_key, row.score, row.threshold, row.reason, algorithm, *images)
    return hashlib.sha256(repr(says).encode()).hexdigest()


def _stored(
    fact: str, row: StudyScore, ref: ObjectRef, committed: datetime, former: StoredReport | None
) -> StoredReport:
    return StoredReport(
        fact=fact,
        row_key=row.row_key,
        study_uid=ref.study_uid,
        series_uid=ref.series_uid,
        sop_class_uid=ref.sop_class_uid,
        sop_uid=ref.sop_instance_uid,
        committed=committed,
        predecessor=former.fact if former else "",
    )
