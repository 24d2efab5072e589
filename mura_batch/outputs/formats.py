"""The outputs of a run, each with what opens it. A new output is one module and one entry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from mura_batch.outputs.agreement_files import AgreementFiles
from mura_batch.outputs.csv_tables import CsvTables
from mura_batch.outputs.drift_file import DriftFile
from mura_batch.outputs.jsonl_tables import JsonlTables
from mura_batch.outputs.manifest import ManifestFile
from mura_batch.outputs.report.report_file import ReportFile
from mura_batch.outputs.sink import OpenSink, RunEnd, RunInfo, Sink
from mura_batch.records import InstanceScore, MissingStudy, Skipped, StudyScore

FORMATS: dict[str, OpenSink] = {"csv": CsvTables, "jsonl": JsonlTables}  # of the tables
# In every run, after the tables; the manifest last, for it has the hashes of the others.
ALWAYS: tuple[OpenSink, ...] = (AgreementFiles, DriftFile, ReportFile, ManifestFile)


@contextmanager
def open_sinks(run: RunInfo, formats: Sequence[str], more: Sequence[OpenSink] = ()) -> Iterator[Sink]:
    """One sink that feeds the chosen formats, then those of every run, then more, in this order."""
    with ExitStack() as stack:
        opened = [*(FORMATS[name] for name in formats), *ALWAYS, *more]
        yield _Every([stack.enter_context(open_sink(run)) for open_sink in opened])


class _Every:
    """Hands everything on to each of its sinks."""

    def __init__(self, sinks: list[Sink]) -> None:
        self._sinks = sinks

    def study(self, row: StudyScore, images: Sequence[InstanceScore]) -> None:
        for sink in self._sinks:
            sink.study(row, images)

    def skip(self, skip: Skipped) -> None:
        for sink in self._sinks:
            sink.skip(skip)

    def missing(self, study: MissingStudy) -> None:
        for sink in self._sinks:
            sink.missing(study)

    def finish(self, end: RunEnd) -> None:
        for sink in self._sinks:
            sink.finish(end)
