"""One report over the studies of many runs: OUT/reports/<since>_<until>/, a folder like that of a run.

Each study stands there with the rows of its last run in the period that scored it, or else of its last run. So a study
that was scored by two models stands there once, by the later one, and every model is said. Skipped files are those of
the last run.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from mura_batch.agreement.truth_file import Truth
from mura_batch.atomic_files import output_errors, replace_folder, sync_tree
from mura_batch.errors import InputError
from mura_batch.model_card import CARD_NAME
from mura_batch.outputs.csv_tables import write_csv
from mura_batch.outputs.file_names import REPORT_NAME
from mura_batch.outputs.manifest import RunManifest, read_manifest, write_manifest
from mura_batch.outputs.read_tables import read_rows
from mura_batch.outputs.report.render import render_report_file
from mura_batch.outputs.tables import TABLES, Kind, Row, Value
from mura_batch.pseudonyms import Identifiers
from mura_batch.records import StudyStatus
from mura_batch.store.run_folder import published_runs

FOLDER = "reports"
_FRESH = {StudyStatus.SCORED, StudyStatus.PARTIAL}  # of a row with a new image


@dataclass(frozen=True, slots=True)
class Period:
    """since, until: days in UTC, both within; None for no limit."""

    since: date | None
    until: date | None

    def holds(self, name: str) -> bool:
        """Whether a run of this name began in it."""
        try:
            day = datetime.strptime(name, "%Y-%m-%dT%H%M%S.%fZ").replace(tzinfo=UTC).date()
        except ValueError:
            return False  # a folder that is none of ours
        return (self.since is None or day >= self.since) and (self.until is None or day <= self.until)

    @property
    def words(self) -> str:
        since, until = self.since or "the first run", self.until or "the last run"
        return f"from {since} to {until}"


def write_period_report(out: Path, period: Period, truth: Truth | None, viewer_url: str | None) -> Path:
    """The report's path. truth: None for that of OUT. Raises InputError where no run began in the period or the folder
    of one cannot be read, TruthError where a truth that was given names none of its studies, OutputError where the
    folder cannot be written."""
    folders = [out / "runs" / name for name in published_runs(out) if period.holds(name)]
    if not folders:
        raise InputError(f"{out} has no run that began {period.words}: `mura-batch runs` lists them")
    name = "_".join(str(day or folder.name[:10]) for day, folder in
                    ((period.since, folders[0]), (period.until, folders[-1])))  # fmt: skip
    final = out / FOLDER / name
    partial = final.with_name(f".{name}.partial")
    with output_errors(final):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700, parents=True)
        try:
            _write_tables(partial, name, folders, period)
            render_report_file(partial, truth, viewer_url)
            sync_tree(partial)
            replace_folder(partial, final)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return final / REPORT_NAME


def _write_tables(folder: Path, name: str, runs: Sequence[Path], period: Period) -> None:
    manifests = [read_manifest(run) for run in runs]
    by_key = {manifest.identifiers == Identifiers.KEY for manifest in manifests}
    if len(by_key) > 1:
        raise InputError(
            f"of the runs {period.words} some name studies by keys only (--identifiers key): choose days of one kind"
        )
    last = _last_runs(runs)
    studies = [row for n, run in enumerate(runs) for row in _rows_of(run, n, last)]
    _write_table(folder, "studies", studies)
    counts: Counter[str] = Counter()
    _write_table(folder, "images", _counted(_images(runs, last), counts))
    _write_table(folder, "skipped", read_rows(runs[-1], "skipped"))
    shutil.copyfile(runs[-1] / CARD_NAME, folder / CARD_NAME)
    newest = manifests[-1]
    counts["skipped"] = newest.counts["skipped"]
    by_run = Counter((n, row["model"], row["threshold"]) for n, row in _with_runs(studies, last))
    write_manifest(
        folder,
        replace(
            newest,
            run=name,
            started=manifests[0].started,
            counts={"found": counts.total(), **{part: counts[part] for part in ("scored", "unchanged", "skipped")}},
            studies_by_status=dict(sorted(Counter(row["status"] for row in studies).items())),
            agreement=None,
            breached_limits=(),  # of one night
            earlier_model_rows=0,  # every row stands with the model that gave its score
            period={
                "since": str(period.since or ""),
                "until": str(period.until or ""),
                "runs": [manifest.run for manifest in manifests],
                "models": _models(by_run, manifests),
            },
        ),
    )


@dataclass(slots=True)
class _Last:
    """run_of: study -> number of the run that its rows are taken from. fresh: row_keys that any run of the period had a
    new image of."""

    run_of: dict[str, int] = field(default_factory=dict)
    fresh: set[str] = field(default_factory=set)


def _last_runs(runs: Sequence[Path]) -> _Last:
    """From the newest back. A run counts as having scored a study where the score is of its own model; else one that
    kept an earlier score does, else any. A table that is the same file as one that was read holds nothing else."""
    last, otherwise, seen = _Last(), dict[str, tuple[bool, int]](), set[tuple[int, int]]()
    for n in reversed(range(len(runs))):
        if (file := _identity(runs[n])) in seen:
            continue
        seen.add(file)
        scored = set()
        for row in read_rows(runs[n], "studies"):
            if row["status"] in _FRESH:
                last.fresh.add(row["row_key"])
            if row["score"] and not row["earlier_model"]:
                scored.add(_study(row))
            found = (bool(row["score"]), n)
            otherwise[_study(row)] = max(found, otherwise.get(_study(row), found))
        for study in scored:
            last.run_of.setdefault(study, n)
    for study, (_, n) in otherwise.items():
        last.run_of.setdefault(study, n)
    return last


def _identity(run: Path) -> tuple[int, int]:
    path = next((path for path in (run / "studies.csv", run / "studies.jsonl") if path.exists()), run)
    status = path.stat()
    return (status.st_dev, status.st_ino)


def _study(row: Row) -> str:
    return row["study_uid"]


def _rows_of(run: Path, number: int, last: _Last) -> Iterator[Row]:
    """The rows of the studies whose last run it is; a row with an image that was new in the period is no old one."""
    if number not in set(last.run_of.values()):
        return
    for row in read_rows(run, "studies"):
        if last.run_of[_study(row)] == number:
            is_fresh = row["status"] == StudyStatus.UNCHANGED and row["row_key"] in last.fresh
            # `model` says what gave the score. The folder is of no one model, so that none is an earlier one.
            yield {**row, "status": StudyStatus.SCORED if is_fresh else row["status"], "earlier_model": ""}


def _images(runs: Sequence[Path], last: _Last) -> Iterator[Row]:
    chosen = set(last.run_of.values())
    for n, run in enumerate(runs):
        if n not in chosen:
            continue
        keys = {row["row_key"] for row in read_rows(run, "studies") if last.run_of[_study(row)] == n}
        yield from read_rows(run, "images", "row_key", keys)


def _counted(images: Iterable[Row], counts: Counter[str]) -> Iterator[Row]:
    for image in images:
        counts["unchanged" if image["reused"] == "1" else "scored"] += 1
        yield image


def _with_runs(studies: Iterable[Row], last: _Last) -> Iterator[tuple[int, Row]]:
    return ((last.run_of[_study(row)], row) for row in studies)


def _models(rows: Counter[tuple[int, str, str]], manifests: Sequence[RunManifest]) -> list[dict[str, Any]]:
    """Each model and threshold with how many rows it called, the newest first. The hash is that of the run; where its
    row is of another model, which the run kept, it is not known."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for (n, name, threshold), count in sorted(rows.items(), reverse=True):
        manifest = manifests[n]
        of_run = manifest.model if manifest.model["name"] == name else {}
        identity = (name, threshold, of_run.get("hash", ""), manifest.settings_hash if of_run else "")
        model = found.setdefault(
            identity,
            {
                "name": name,
                "version": of_run.get("version", ""),
                "hash": identity[2],
                "settings_hash": identity[3],
                "threshold": float(threshold),
                "study_rows": 0,
            },
        )
        model["study_rows"] += count
    return list(found.values())


def _write_table(folder: Path, table: str, rows: Iterable[Row]) -> None:
    columns = TABLES[table]
    write_csv(
        folder / f"{table}.csv", tuple(columns), ([_value(row[c], kind) for c, kind in columns.items()] for row in rows)
    )


def _value(text: str, kind: Kind) -> Value:
    """A number as one: the table's writer makes text that begins with a minus inert."""
    if not text or kind not in {Kind.NUMBER, Kind.INTEGER}:
        return text
    return float(text) if kind is Kind.NUMBER else int(text)
