"""`mura-batch runs`: the published runs of an OUT, newest first, out of their own run.json."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mura_batch.errors import InputError, LedgerError
from mura_batch.outputs.index.index_page import index_warning, refresh_index
from mura_batch.outputs.index.nights import kappa_of
from mura_batch.outputs.manifest import read_manifest
from mura_batch.store.database import LEDGER_NAME
from mura_batch.store.run_folder import in_order, published_runs
from mura_batch.store.runs import KnownRuns, read_known_runs


@dataclass(frozen=True, slots=True)
class PastRun:
    """One run folder. started, finished: UTC, ISO 8601. counts: source files, as in run.json. kappa: of the agreement
    with the truth of that night, None where there was none. problem: why its run.json cannot be read; all else is then
    empty."""

    name: str
    started: str = ""
    finished: str = ""
    model: str = ""
    device: str = ""
    precision: str = ""
    counts: dict[str, int] | None = None
    exit_code: int | None = None
    kappa: float | None = None
    problem: str = ""


def past_runs(out: Path) -> tuple[PastRun, ...]:
    """Newest first. Raises InputError where out is no output folder of this program."""
    check_out(out)
    names = in_order(published_runs(out), known_runs(out).names)
    return tuple(_read(out / "runs" / name) for name in reversed(names))


def known_runs(out: Path) -> KnownRuns:
    """What the ledger says of the runs; nothing where it cannot be read: the folders can be listed all the same, by
    their names."""
    try:
        return read_known_runs(out)
    except LedgerError:
        return KnownRuns()


def refresh_index_of(run: Path) -> tuple[str, ...]:
    """After a file of a past run was written again. Returns a warning, none where all is well or the run lies in no
    OUT."""
    out = run.resolve().parent.parent
    try:
        check_out(out)
        return refresh_index(out, read_known_runs(out))
    except InputError:
        return ()
    except LedgerError as error:
        return (index_warning(error),)


def check_out(out: Path) -> None:
    """Raises InputError where out is not the output folder of a `score`."""
    if not (out / LEDGER_NAME).is_file() or not (out / "runs").is_dir():
        raise InputError(f"{out} is not an output folder of mura-batch: it has no {LEDGER_NAME} and runs/")


def time_of(name: str) -> datetime:
    """When a run began, out of the name of its folder. Raises ValueError for another name."""
    return datetime.strptime(name, "%Y-%m-%dT%H%M%S.%f%z")


def table(runs: tuple[PastRun, ...]) -> list[str]:
    """Lines of text, one a run, for a terminal."""
    lines = [
        f"{'run':<28} {'exit':>4} {'scored':>8} {'unchanged':>9} {'skipped':>8} {'kappa':>6}  model, device, precision"
    ]
    for run in runs:
        if run.problem:
            lines.append(f"{run.name:<28} {run.problem}")
            continue
        counts, kappa = run.counts or {}, "" if run.kappa is None else f"{run.kappa:.3f}"
        numbers = f"{counts['scored']:>8} {counts['unchanged']:>9} {counts['skipped']:>8} {kappa:>6}"
        lines.append(f"{run.name:<28} {run.exit_code:>4} {numbers}  {run.model}, {run.device}, {run.precision}")
    return lines


def _read(folder: Path) -> PastRun:
    try:
        manifest = read_manifest(folder)
    except InputError as error:
        return PastRun(folder.name, problem=str(error))
    return PastRun(
        name=folder.name,
        started=manifest.started,
        finished=manifest.finished,
        model=f"{manifest.model['name']} {manifest.model['version']}",
        device=manifest.runner["device"],
        precision=manifest.runner["precision"],
        counts=manifest.counts,
        exit_code=manifest.exit_code,
        kappa=kappa_of(manifest.agreement),
    )
