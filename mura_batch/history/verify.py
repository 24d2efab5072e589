"""`mura-batch verify`: is everything in OUT as it was written? Reads only; what is wrong is named, never repaired."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mura_batch.errors import InputError, LedgerError
from mura_batch.history.past_runs import check_out, known_runs, time_of
from mura_batch.outputs.file_names import REPORT_NAME
from mura_batch.outputs.manifest import RunManifest, file_hashes, read_manifest
from mura_batch.outputs.read_tables import read_rows
from mura_batch.store.audit import Audit
from mura_batch.store.database import LEDGER_NAME
from mura_batch.store.run_folder import LATEST, in_order, latest_name, published_runs
from mura_batch.store.runs import KnownRuns


@dataclass(frozen=True, slots=True)
class Finding:
    """place: what was looked at. problem: what is wrong with it, '' where nothing is. fix: what to do."""

    place: str
    problem: str = ""
    fix: str = ""


def verify(out: Path) -> Iterator[Finding]:
    """One finding for each thing looked at, sound or not. Raises InputError where out is no output folder."""
    check_out(out)
    yield from _ledger(out)
    known = known_runs(out)
    names = in_order(published_runs(out), known.names)
    for name in names:
        yield _run(out / "runs" / name)
    yield from _gone(names, known)
    yield _latest(out, names)
    yield from _hidden(out)


def _ledger(out: Path) -> Iterator[Finding]:
    fix = "restore ledger.sqlite from a backup, or move it away to score everything again"
    try:
        with Audit(out) as audit:
            counts = {"rows": 0, "pictures": 0}
            for what, problem in audit.findings():
                counts[what] += 1
                if problem:
                    yield Finding(LEDGER_NAME if what == "rows" else "pictures", problem, fix)
    except LedgerError as error:
        yield Finding(LEDGER_NAME, str(error), fix)
        return
    yield Finding(f"{LEDGER_NAME}: {counts['rows']} rows and {counts['pictures']} pictures read")


def _run(folder: Path) -> Finding:
    place = f"runs/{folder.name}"
    fix = "the ledger has the scores: the next run reports them again; remove this folder if nobody needs it"
    try:
        time_of(folder.name)
        manifest = read_manifest(folder)
        return Finding(place, "; ".join(_differences(folder, manifest)), fix)
    except ValueError:
        return Finding(place, "not a folder of a run", "move it out of runs/")
    except InputError as error:
        return Finding(place, str(error), fix)


def _differences(folder: Path, manifest: RunManifest) -> Iterator[str]:
    """Between the tables of a run and the counts of its manifest."""
    counts = manifest.counts
    if manifest.run != folder.name:
        yield f"run.json is of the run {manifest.run}"
    reused = Counter(row["reused"] for row in read_rows(folder, "images"))
    if (reused["0"], reused["1"]) != (counts["scored"], counts["unchanged"]):
        listed = f"{reused['0']} scored and {reused['1']} unchanged"
        yield f"images have {listed}, run.json {counts['scored']} and {counts['unchanged']}"
    expected = {"skipped": counts["skipped"], "studies": sum(manifest.studies_by_status.values())}
    for name, rows in expected.items():
        if (found := sum(1 for _ in read_rows(folder, name))) != rows:
            yield f"{name} have {found} rows, run.json {rows}"
    yield from _edited(folder, manifest)
    if not (folder / REPORT_NAME).is_file():
        yield f"{REPORT_NAME} is missing (mura-batch report renders it again)"
    elif manifest.report_of and not (folder.parent / manifest.report_of / REPORT_NAME).is_file():
        yield f"its page links to run {manifest.report_of}, which is gone (mura-batch report renders one of its own)"


def _edited(folder: Path, manifest: RunManifest) -> Iterator[str]:
    """Files whose content is another than the manifest says; an earlier version wrote no hashes."""
    try:
        now = file_hashes(folder)
    except OSError as error:
        yield f"cannot be read ({error.strerror})"
        return
    for name, expected in manifest.files.items():
        if name not in now:
            yield f"{name} is missing"
        elif now[name] != expected:
            yield f"{name} is not as it was written"


def _gone(names: tuple[str, ...], known: KnownRuns) -> Iterator[Finding]:
    """Differences between the folders and what the ledger has of them."""
    for name in known.names:
        if name not in names and name not in known.removed:
            fix = "restore it from a backup; `mura-batch prune` notes that it is gone"
            yield Finding(f"runs/{name}", "its folder is missing, and `prune` did not remove it", fix)
    for name in names:
        if known.names and name not in known.names and _is_time(name):
            yield Finding(
                f"runs/{name}", "the ledger does not know it: is the ledger older than runs/?", _HALF_A_BACKUP
            )


_HALF_A_BACKUP = (
    "restore ledger.sqlite, runs/ and pictures/ from one backup; scores that the ledger lacks are made again"
)


def _is_time(name: str) -> bool:
    try:
        time_of(name)
    except ValueError:
        return False
    return True


def _latest(out: Path, names: tuple[str, ...]) -> Finding:
    latest = latest_name(out)
    if names and latest != names[-1]:
        return Finding(LATEST, f"names {latest or 'no run'}, the newest run is {names[-1]}", "the next run sets it")
    return Finding(LATEST)


def _hidden(out: Path) -> Iterator[Finding]:
    for folder in (out / "runs").glob(".*.partial"):
        yield Finding(f"runs/{folder.name}", "a run is going, or was killed", "the next run removes it")
