"""One run, from STUDIES to OUT/runs/<UTC time>/: takes the lock, opens the ledger and the runner, joins the parts.

    scan headers -> settle identity -> decode, batch, run, commit -> CSV, manifest, report -> rename

A run's folder is built under a hidden name and renamed when it is whole: `runs/` and `latest` never show a half-written
one. What was scored is in the ledger before that, so a crash at any point loses no score.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mura_batch.agreement.truth_file import Truth
from mura_batch.atomic_files import output_errors
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.errors import ExitCode, InputError
from mura_batch.model_card import CARD_NAME, Model
from mura_batch.outputs.disclosure import Disclosure
from mura_batch.outputs.drift_file import read_alarms
from mura_batch.outputs.formats import open_sinks
from mura_batch.outputs.index.index_page import refresh_index
from mura_batch.outputs.manifest import RunManifest, check_identity, read_manifest
from mura_batch.outputs.share import share_equal_files
from mura_batch.outputs.sink import OpenSink, RunEnd, RunInfo, Sink
from mura_batch.progress import Observer
from mura_batch.pseudonyms import Identifiers
from mura_batch.runtime.outlier_limit import outlier_limit
from mura_batch.runtime.runner import RunnerOptions
from mura_batch.scoring.intake import refuse_unreadable, scan, score_key, settle_identity, strict_error
from mura_batch.scoring.news import shown_by
from mura_batch.scoring.night_limits import Limits, breaches
from mura_batch.scoring.rescore import Plan, keep_earlier, leave_rest
from mura_batch.scoring.results import Tally, feed, feed_missing
from mura_batch.scoring.storage import url_of
from mura_batch.scoring.timings import Timings
from mura_batch.scoring.unchanged import settle, take_tables, unchanged_run
from mura_batch.scoring.workplace import Workplace, open_workplace
from mura_batch.store.database import LEDGER_NAME
from mura_batch.store.key import Key
from mura_batch.store.ledger import Ledger
from mura_batch.store.lock import locked
from mura_batch.store.run_folder import RunFolder, correct_latest, is_published, newest_run
from mura_batch.store.runs import KnownRuns
from mura_batch.version import __version__

if TYPE_CHECKING:
    from mura_batch.agreement.comparison import Comparison
    from mura_batch.agreement.traits import TraitBook
    from mura_batch.agreement.truth import Matching
    from mura_batch.outputs.dicom.dicom_sink import DicomChoice


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """What `mura-batch score` was asked. workers: None for one a core. options: as given, for the manifest. formats: of
    the tables, names in outputs.formats.FORMATS. dicom: which result objects to write, None for none.
    cluster: of Ray, whose nodes do the work; None for this machine.
    single_writer: OUT may lie on a file system without locks. identifiers: how much of the source's identity the
    outputs hold; with KEY there is no dicom. allow_shared_out: see store.lock.locked. limits: beyond which the run
    ends with exit code 3. plan: what is scored again, and until when. started: UTC; names the run."""

    studies: Path
    out: Path
    model: Model
    policy: IntakePolicy
    runner: RunnerOptions
    workers: int | None
    truth: Truth | None
    strict: bool
    options: dict[str, str]
    formats: tuple[str, ...] = ("csv",)
    dicom: DicomChoice | None = None
    single_writer: bool = False
    cluster: str | None = None
    identifiers: Identifiers = Identifiers.ACCESSION
    allow_shared_out: bool = False
    limits: Limits = field(default_factory=Limits)
    plan: Plan = field(default_factory=Plan)
    started: datetime = field(default_factory=partial(datetime.now, UTC))

    @property
    def runner_options(self) -> RunnerOptions:
        """Those of `runner`, with features where the model makes distances of them."""
        return replace(self.runner, features=self.model.has_feature_statistics)


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """manifest: what run.json holds. summary: one line for a person. warnings: lines that a person should see however
    the run ended."""

    manifest: RunManifest
    exit_code: ExitCode
    summary: str
    warnings: tuple[str, ...] = ()


def run_score(request: ScoreRequest, observer: Observer) -> ScoreResult:
    """Raises MuraBatchError; whatever it raises, what was scored is kept."""
    refuse_bad_folders(request)
    with (
        locked(request.out, single_writer=request.single_writer, allow_shared=request.allow_shared_out) as may_lock,
        Ledger(request.out / LEDGER_NAME, may_lock=may_lock) as ledger,
        open_workplace(
            request.studies, request.policy, request.model, request.runner_options, request.workers, request.cluster
        ) as work,
        RunFolder(request.out, request.started) as folder,
    ):
        run = _Run(request, ledger, work, folder, observer, Timings())
        found = run.score()
        return run.write(found)


def refuse_bad_folders(request: ScoreRequest) -> None:
    """Before anything is written."""
    if url := url_of(request.studies):
        if request.cluster is None:
            raise InputError(f"{url} is read with --cluster: add --cluster local for this machine alone")
        if request.dicom is not None:
            raise InputError(f"--dicom reads the studies again, and {url} is no folder: leave it out")
        return
    if not request.studies.is_dir():
        raise InputError(f"{request.studies} is not there, or is no folder: name the folder of exported studies")
    studies, out = request.studies.resolve(), request.out.resolve()
    if out == studies or studies in out.parents:
        raise InputError(f"--out {request.out} lies inside {request.studies}: its files would be read as studies")
    with os.scandir(studies) as entries:
        if next(entries, None) is None:
            raise InputError(f"no files under {request.studies}: is the export there, and the disk mounted?")


@dataclass(frozen=True, slots=True)
class _Found:
    """files: how many source files there are. left: one line on what the time did not suffice for, or ''. before: the
    manifest of the previous run, where this one says the same and nothing is left to do."""

    files: int
    left: str
    before: RunManifest | None = None


@dataclass(frozen=True, slots=True)
class _Run:
    """The parts of one run, joined."""

    request: ScoreRequest
    ledger: Ledger
    work: Workplace
    folder: RunFolder
    observer: Observer
    timings: Timings

    @property
    def key(self) -> Key:
        return score_key(self.request.model, self.request.policy, self.work.info.precision)

    def score(self) -> _Found:
        request, ledger = self.request, self.ledger
        ledger.runs.reconcile(partial(is_published, request.out))
        with output_errors(request.out):
            correct_latest(request.out, ledger.runs.published())
        ledger.runs.begin(self.folder.name, request.studies)
        ledger.scores.forget_transient()
        with self.timings.measuring("headers"):
            found = scan(self.work.storage, request.policy, ledger.files, self.observer, self.work.headers)
            before = self._unchanged()
        if before is not None:
            ledger.runs.describe(self.key, 0, 0.0)
            return _Found(found, "", before)
        with self.timings.measuring("headers"):
            settle_identity(self.work.storage, request.policy, ledger)
        if request.strict:
            refuse_unreadable(ledger.files, ledger.names)
        keep_earlier(ledger, self.key, request.model, request.out, request.plan)
        left = ""
        if pending := ledger.scores.count_pending(self.key):
            self.observer.begin("scoring", pending)
            begun = time.perf_counter()
            ledger.scores.is_time_up = request.plan.is_time_up
            refuse = partial(strict_error, names=ledger.names) if request.strict else None
            self.work.score(ledger.scores, self.key, self.observer, self.timings, refuse)
            took = time.perf_counter() - begun
            ledger.runs.describe(self.key, pending - ledger.scores.count_pending(self.key), took)
            left = leave_rest(ledger, self.key, request.plan)
        else:
            ledger.runs.describe(self.key, 0, 0.0)
        return _Found(found, left)

    def _unchanged(self) -> RunManifest | None:
        request = self.request
        if request.dicom is not None or request.strict:
            return None
        return unchanged_run(self._info(), request.formats, self.ledger)

    def write(self, found: _Found) -> ScoreResult:
        info, formats, before = self._info(), self.request.formats, found.before
        with open_sinks(info, formats if before is None else (), self._dicom()) as sink:
            with self.timings.measuring("tables"):
                tally = self._feed(sink, info) if before is None else take_tables(info, formats, before)
                shutil.copyfile(self.request.model.folder / CARD_NAME, self.folder.path / CARD_NAME)
            end = self._end(info, found, tally)
            check_identity(end)
            sink.finish(end)
        if info.previous is not None:
            share_equal_files(self.folder.path, info.previous)
        self.ledger.claim(self.key)
        final = self.folder.publish()
        self.ledger.runs.finish(end.finished)
        if not found.left:
            settle(info, formats, self.ledger, tally)
        runs = self.ledger.runs
        warnings = refresh_index(self.request.out, KnownRuns(runs.published(), runs.removed()))
        summary = _summary(tally, end, final, self.request.formats[0])
        warnings += (*([f"mura-batch: {found.left}"] if found.left else []), *_truth_warnings(end.comparison))
        warnings += self.work.warnings
        return ScoreResult(read_manifest(final), ExitCode(end.exit_code), summary, warnings)

    def _feed(self, sink: Sink, info: RunInfo) -> Tally:
        tally = Tally(matching=_matching(info.truth))
        feed_missing(sink, self.ledger.files.missing_studies(), tally, info.disclosure)
        threshold = self.request.model.card.threshold
        feed(sink, self.ledger.outcomes, self.key, threshold, tally, info.disclosure)
        return tally

    def _breaches(self, info: RunInfo, tally: Tally) -> tuple[str, ...]:
        if self.request.limits == Limits():
            return ()
        from mura_batch.agreement.drift import Count
        from mura_batch.outputs.drift_history import abnormal_alarm

        return breaches(
            self.request.limits,
            missing=Count(tally.missing, tally.missing + tally.found_studies),
            unreadable=Count(tally.unreadable, tally.scored + tally.unchanged + tally.unreadable),
            abnormal=Count(tally.new_studies["abnormal"], tally.new_studies["rows"]),
            drift_alarm=partial(abnormal_alarm, info),
        )

    def _dicom(self) -> list[OpenSink]:
        """The sink of result objects, if any were asked for: it imports much."""
        if self.request.dicom is None:
            return []
        from mura_batch.outputs.dicom.dicom_sink import open_dicom

        return [open_dicom(self.request.dicom, self.ledger.results(self.key))]

    def _info(self) -> RunInfo:
        request = self.request
        truth = request.truth or self.ledger.truth.truth()
        disclosure = Disclosure(request.identifiers, self.ledger.names)
        return RunInfo(
            folder=self.folder.path,
            name=self.folder.name,
            started=self.folder.started,
            studies=request.studies,
            options=request.options,
            settings_hash=self.key.settings,
            model=request.model,
            runner=asdict(self.work.info),
            truth=disclosure.truth(truth) if truth is not None else None,
            read_picture=self.ledger.pictures.of(self.key),
            disclosure=disclosure,
            previous=newest_run(request.out),
            outlier_limit=outlier_limit(request.model),
        )

    def _end(self, info: RunInfo, found: _Found, tally: Tally) -> RunEnd:
        comparison, before = _compared(tally.matching, tally.traits), found.before
        breached = self._breaches(info, tally) if before is None else tuple(before.breached_limits)
        content = content_of(tally, info, comparison, breached) if before is None else before.content
        return RunEnd(
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            counts={
                "found": found.files,
                "scored": tally.scored,
                "unchanged": tally.unchanged,
                "skipped": tally.skipped.total(),
            },
            skipped_by_reason=dict(sorted(tally.skipped.items())),
            studies_by_status=dict(sorted(tally.studies.items())),
            seconds=self.timings.as_seconds(),
            exit_code=int(ExitCode.INPUT_UNREADABLE if tally.new_unreadable or breached else ExitCode.OK),
            comparison=comparison,
            missing=tally.missing,
            breached_limits=breached,
            earlier_model_rows=tally.earlier_model_rows,
            new_skipped=dict(+tally.new_skipped),
            new_studies={name: tally.new_studies[name] for name in ("rows", "abnormal")},
            content=content,
            report_of="" if tally.has_news else shown_by(info.previous, content),
        )


def _matching(truth: Truth | None) -> Matching | None:
    if truth is None:
        return None
    from mura_batch.agreement.truth import Matching

    return Matching(truth)


def _compared(matching: Matching | None, traits: TraitBook) -> Comparison | None:
    if matching is None:
        return None
    from mura_batch.agreement.comparison import compare

    return compare(matching, traits)


def _truth_warnings(comparison: Comparison | None) -> tuple[str, ...]:
    """Truth never stops a night: a file that names none of its studies is said and counted."""
    if comparison is None or comparison.matched.names_a_study:
        return ()
    names = ", ".join(file.name for file in comparison.truth.files)
    return (f"mura-batch: {names} names no study of this run: nothing was compared",)


# They change how a run goes and what it prints, not what its report says.
_OPTIONS_OF_THE_PROCESS = frozenset({"dry_run", "json", "out", "single_writer", "strict", "timings", "workers"})


def content_of(tally: Tally, info: RunInfo, comparison: Comparison | None, breached: tuple[str, ...]) -> str:
    """What the report says: rows, options, model, agreement, limits; and which version says it."""
    truth = [(file.name, file.sha256) for file in info.truth.files] if info.truth is not None else []
    agreement = comparison.figures() if comparison is not None else None
    options = {name: value for name, value in info.options.items() if name not in _OPTIONS_OF_THE_PROCESS}
    of_run = (info.settings_hash, info.model.hash, options, __version__)
    tally.content.circumstances(*of_run, truth, agreement, breached)
    return tally.content.hex


def _summary(tally: Tally, end: RunEnd, final: Path, suffix: str) -> str:
    """Of the published run, whose tables have this suffix; one more line for each limit that it is beyond and for each
    alarm of drift."""
    line = (
        f"mura-batch: {tally.scored} images scored, {tally.unchanged} unchanged, {tally.skipped.total()} skipped, "
        f"{sum(tally.studies.values())} study rows: {final / 'report.html'}"
    )
    if tally.new_unreadable:
        line += f"; {tally.new_unreadable} files could not be read: see {final / f'skipped.{suffix}'}"
    if end.missing:
        line += f"; {end.missing} known studies are missing: see {final / f'missing.{suffix}'}"
    beyond = [f"mura-batch: limit: {breach}" for breach in end.breached_limits]
    return "\n".join([line, *beyond, *(f"mura-batch: drift: {alarm}" for alarm in read_alarms(final))])
