"""`mura-batch verify`: is everything in OUT as it was written? Reads only; what is wrong is named, never repaired."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mura_batch.errors import InputError, LedgerError
from mura_batch.history.past_runs import check_out, time_of
from mura_batch.outputs.manifest import RunManifest, read_manifest
from mura_batch.outputs.read_tables import read_rows
from mura_batch.store.audit import Audit
from mura_batch.store.database import LEDGER_NAME
from mura_batch.store.run_folder import LATEST, published_runs


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
    names = published_runs(out)
    for name in names:
        yield _run(out / "runs" / name)
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
    if not (folder / "report.html").is_file():
        yield "report.html is missing (mura-batch report renders it again)"


def _latest(out: Path, names: tuple[str, ...]) -> Finding:
    link = out / LATEST
    if not link.is_symlink():
        return Finding(LATEST)  # a file system without symbolic links
    if names and Path(os.readlink(link)).name != names[-1]:
        return Finding(LATEST, f"points at {os.readlink(link)}, the newest run is {names[-1]}", "the next run sets it")
    return Finding(LATEST)


def _hidden(out: Path) -> Iterator[Finding]:
    for folder in (out / "runs").glob(".*.partial"):
        yield Finding(f"runs/{folder.name}", "a run is going, or was killed", "the next run removes it")
