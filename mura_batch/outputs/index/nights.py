"""What the index shows of a run, out of its run.json, and of runs whose folders were removed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mura_batch.errors import InputError
from mura_batch.outputs.manifest import RunManifest, read_manifest
from mura_batch.records import UNREADABLE
from mura_batch.store.run_folder import in_order, published_runs
from mura_batch.store.runs import KnownRuns

_UNREADABLE = {str(reason) for reason in UNREADABLE}


@dataclass(frozen=True, slots=True)
class Night:
    """One run. started: UTC, ISO 8601. scored, skipped, unreadable: files. rows, abnormal: study rows with a new image.
    kappa: None without truth. seconds: from start to end. is_there: whether its folder is."""

    name: str
    started: str
    scored: int
    rows: int
    abnormal: int
    skipped: int
    unreadable: int
    missing: int
    kappa: float | None
    seconds: float
    exit_code: int
    is_there: bool = True


def all_nights(out: Path, known: KnownRuns) -> tuple[Night, ...]:
    """Oldest first: runs whose folders are there, and those that `prune` noted. A folder without a whole run.json is
    left out: `verify` names it."""
    folders = set(published_runs(out))
    notes = {name: note for name, note in known.removed.items() if note and name not in folders}
    found = (_read(out / "runs" / name, notes.get(name)) for name in in_order({*folders, *notes}, known.names))
    return tuple(night for night in found if night is not None)


def _read(folder: Path, note: str | None) -> Night | None:
    try:
        return night_of(read_manifest(folder)) if note is None else Night(**json.loads(note))
    except (InputError, ValueError, KeyError, TypeError):
        return None


def note_of(manifest: RunManifest) -> str:
    """What the ledger keeps of a run whose folder is removed."""
    return json.dumps({**asdict(night_of(manifest)), "is_there": False})


def night_of(manifest: RunManifest) -> Night:
    """Raises ValueError and KeyError where the manifest was edited by hand."""
    skipped = manifest.skipped_by_reason.items()
    seconds = datetime.fromisoformat(manifest.finished) - datetime.fromisoformat(manifest.started)
    return Night(
        name=manifest.run,
        started=manifest.started,
        scored=manifest.counts["scored"],
        rows=manifest.new_studies.get("rows", 0),
        abnormal=manifest.new_studies.get("abnormal", 0),
        skipped=manifest.counts["skipped"],
        unreadable=sum(files for reason, files in skipped if reason.partition("/")[2] in _UNREADABLE),
        missing=manifest.missing,
        kappa=kappa_of(manifest.agreement),
        seconds=max(0.0, seconds.total_seconds()),  # a clock may be set back during a run
        exit_code=manifest.exit_code,
    )


def kappa_of(agreement: Mapping[str, Any] | None) -> float | None:
    """agreement: of run.json."""
    value = ((agreement or {}).get("kappa") or {}).get("value")
    return float(value) if value is not None else None


@dataclass(frozen=True, slots=True)
class Period:
    """A night, a month or a year. runs: how many of it. scored, rows, abnormal: of all its runs together; skipped,
    unreadable and missing as its last run found them; kappa: the last one. seconds: of a run, on average. warned: runs
    that met input which could not be read."""

    name: str
    runs: int
    scored: int
    rows: int
    abnormal: int
    skipped: int
    unreadable: int
    missing: int
    kappa: float | None
    seconds: float
    warned: int

    @property
    def share(self) -> float | None:
        """Of abnormal among the study rows with a new image; None without any."""
        return self.abnormal / self.rows if self.rows else None


def periods(nights: Sequence[Night], letters: int) -> tuple[Period, ...]:
    """nights: oldest first. letters: of the date that a period has in common: 7 for months, 4 for years. A period comes
    where its first night was."""
    groups: dict[str, list[Night]] = {}
    for night in nights:
        groups.setdefault(night.started[:letters], []).append(night)
    return tuple(_period(name, group) for name, group in groups.items())


def single(night: Night) -> Period:
    return _period(night.started[:16].replace("T", " "), [night])


def _period(name: str, nights: Sequence[Night]) -> Period:
    last = nights[-1]
    return Period(
        name=name,
        runs=len(nights),
        scored=sum(night.scored for night in nights),
        rows=sum(night.rows for night in nights),
        abnormal=sum(night.abnormal for night in nights),
        skipped=last.skipped,
        unreadable=last.unreadable,
        missing=last.missing,
        kappa=next((night.kappa for night in reversed(nights) if night.kappa is not None), None),
        seconds=sum(night.seconds for night in nights) / len(nights),
        warned=sum(night.exit_code != 0 for night in nights),
    )
