"""`mura-batch prune`: removes run folders by a retention rule, and packs of pictures that no score refers to.

It never removes input, scores or the newest run. The rule is that of restic's `forget`: the last N runs are kept, and
the newest run of each of the last N days, weeks, months or years that have one; what no rule keeps is removed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from mura_batch.errors import InputError, OutputError
from mura_batch.history.freed import freed_bytes
from mura_batch.history.past_reports import hand_on_reports
from mura_batch.history.past_runs import check_out, time_of
from mura_batch.outputs.index.index_page import refresh_index
from mura_batch.outputs.index.nights import note_of
from mura_batch.outputs.manifest import read_manifest
from mura_batch.store.database import LEDGER_NAME
from mura_batch.store.ledger import Ledger
from mura_batch.store.lock import locked
from mura_batch.store.run_folder import in_order, is_published, published_runs
from mura_batch.store.runs import KnownRuns


@dataclass(frozen=True, slots=True)
class Retention:
    """How many to keep by each rule; 0 for none."""

    last: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """keep, remove: run folders, oldest first. packs: files of pictures that no score refers to. freed: bytes on the
    disk. warnings: of what is no reason to fail."""

    keep: tuple[Path, ...]
    remove: tuple[Path, ...]
    packs: tuple[Path, ...]
    freed: int
    warnings: tuple[str, ...] = ()


_PERIODS: dict[str, Callable[[datetime], tuple[int, ...]]] = {  # what a time has in common with others of its period
    "daily": lambda t: (t.year, t.month, t.day),
    "weekly": lambda t: tuple(t.isocalendar()[:2]),
    "monthly": lambda t: (t.year, t.month),
    "yearly": lambda t: (t.year,),
}


def prune(out: Path, retention: Retention, *, dry_run: bool, allow_shared_out: bool = False) -> PrunePlan:
    """Makes the plan and, unless dry_run, carries it out; a kill in the middle leaves whole runs. allow_shared_out: see
    store.lock.locked.

    Raises InputError where out is no output folder or the rule keeps nothing, LockHeldError while a run is going,
    OutputError where a folder cannot be removed.
    """
    check_out(out)
    if not any((retention.last, retention.daily, retention.weekly, retention.monthly, retention.yearly)):
        raise InputError("nothing says what to keep: give --keep-last, --keep-daily, --keep-weekly, ...")
    with locked(out, allow_shared=allow_shared_out):
        with Ledger(out / LEDGER_NAME) as ledger:
            ledger.runs.reconcile(partial(is_published, out))  # before a folder that says so goes
            plan = _plan(out, retention, ledger)
        if dry_run:
            return plan
        hand_on_reports(plan.keep, plan.remove)  # it reads the ledger, which may be open to one program at a time
        with Ledger(out / LEDGER_NAME) as ledger:
            _note_missing(out, ledger)
            _carry_out(plan, ledger)
            runs = KnownRuns(ledger.runs.published(), ledger.runs.removed())
        return replace(plan, warnings=refresh_index(out, runs))


def _plan(out: Path, retention: Retention, ledger: Ledger) -> PrunePlan:
    names = in_order(published_runs(out), ledger.runs.published())
    kept = kept_names(names, retention)
    keep, remove = ([out / "runs" / n for n in names if (n in kept) is wanted] for wanted in (True, False))
    packs = list(ledger.pictures.unused_packs())
    return PrunePlan(tuple(keep), tuple(remove), tuple(packs), freed_bytes([*remove, *packs]))


def kept_names(names: Sequence[str], retention: Retention) -> frozenset[str]:
    """names: of run folders, oldest first; a clock that was set back may have given a later run an earlier name. A
    folder whose name is no time is kept: it is none of ours."""
    timed: dict[str, datetime] = {}
    kept: set[str] = set()
    for name in names:
        try:
            timed[name] = time_of(name)
        except ValueError:
            kept.add(name)
    newest_first = list(reversed(timed))
    kept.update(newest_first[: max(1, retention.last)])  # the newest one always: OUT/latest points at it
    for rule, period in _PERIODS.items():
        newest: dict[tuple[int, ...], str] = {}
        for name in newest_first:
            newest.setdefault(period(timed[name]), name)
        kept.update(list(newest.values())[: getattr(retention, rule)])
    return frozenset(kept)


def _note_missing(out: Path, ledger: Ledger) -> None:
    """Folders that were removed by hand: from now on nobody misses them."""
    for name in set(ledger.runs.published()) - ledger.runs.removed().keys() - set(published_runs(out)):
        ledger.runs.remove(name, "")


def _note(folder: Path) -> str:
    try:
        return note_of(read_manifest(folder))
    except (InputError, ValueError, KeyError):  # damaged: there is nothing to remember
        return ""


def _carry_out(plan: PrunePlan, ledger: Ledger) -> None:
    """The ledger notes first that a run goes. Its folder is renamed to a hidden name, which the next run clears away:
    no half-removed run is visible."""
    for path in (*plan.remove, *plan.packs):
        try:
            if path.is_dir():
                ledger.runs.remove(path.name, _note(path))
                hidden = path.with_name(f".{path.name}.partial")
                path.rename(hidden)
                shutil.rmtree(hidden)
            else:
                path.unlink()
        except OSError as error:
            raise OutputError(
                f"{path} cannot be removed ({error.strerror}): fix its permissions, prune again"
            ) from error
