"""`mura-batch runs`: the published runs of an OUT, newest first, out of their own run.json."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mura_batch.errors import InputError
from mura_batch.outputs.manifest import read_manifest
from mura_batch.store.database import LEDGER_NAME
from mura_batch.store.run_folder import published_runs


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
    return tuple(_read(out / "runs" / name) for name in reversed(published_runs(out)))


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
        kappa=_kappa(folder),
    )


def _kappa(folder: Path) -> float | None:
    """run.json holds it where the run had truth."""
    values: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    kappa = ((values.get("agreement") or {}).get("kappa") or {}).get("value")
    return float(kappa) if kappa is not None else None


def bytes_of(folder: Path) -> int:
    """Disk space of a folder; a file with several names counts once for each of them."""
    return sum(entry.stat().st_size for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False))
