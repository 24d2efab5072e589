"""The report as an output of the run itself. What draws the page is imported when there is one to draw: a night without
news draws none."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Self

from mura_batch.outputs.file_names import REPORT_NAME
from mura_batch.outputs.manifest import manifest_of
from mura_batch.outputs.sink import RunEnd, RunInfo
from mura_batch.records import InstanceScore, MissingStudy, Skipped, StudyScore

if TYPE_CHECKING:
    from mura_batch.outputs.report.collect import ReportRows
    from mura_batch.outputs.report.outliers import Outliers


class ReportFile:
    """The report of the run itself, rendered when it is finished."""

    def __init__(self, run: RunInfo) -> None:
        self._run = run

    @cached_property
    def _rows(self) -> ReportRows:
        from mura_batch.outputs.report.collect import ReportRows

        return ReportRows(self._run.truth)

    @cached_property
    def _outliers(self) -> Outliers:
        from mura_batch.outputs.report.outliers import Outliers

        return Outliers(self._run.outlier_limit)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def study(self, row: StudyScore, images: Sequence[InstanceScore]) -> None:
        self._rows.study(row, images)
        for image in images:
            self._outliers.image(image, row)

    def skip(self, skip: Skipped) -> None:
        self._rows.skip(skip, self._run.disclosure)

    def missing(self, study: MissingStudy) -> None:
        pass

    def finish(self, end: RunEnd) -> None:
        if end.report_of:
            from mura_batch.outputs.report.quiet_page import write_quiet_page

            write_quiet_page(self._run.folder / REPORT_NAME, manifest_of(self._run, end), end.report_of)
            return
        from mura_batch.outputs.report.render import write_report

        write_report(self._run, end, self._rows, self._outliers)
