"""`mura-batch truth`: adds truth files to an OUT, lists them and takes them out of use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from mura_batch.agreement.truth_csv import read_truth
from mura_batch.agreement.truth_file import TruthKind
from mura_batch.errors import InputError
from mura_batch.store.database import LEDGER_NAME
from mura_batch.store.ledger import Ledger
from mura_batch.store.lock import locked
from mura_batch.store.stored_truth import StoredFile, stored_files


def add_truth(
    out: Path, path: Path, kind: TruthKind, reader: str, *, allow_shared_out: bool = False
) -> tuple[StoredFile, bool]:
    """The file as it is in the ledger, and whether it is new there. allow_shared_out: see `locked`. Raises TruthError
    where the file cannot be read or holds no label, InputError where out is no output folder, LockHeldError while a run
    is going."""
    file = read_truth(path, kind, reader)
    file.require_labels()
    with _ledger(out, allow_shared_out=allow_shared_out) as ledger:
        number = ledger.truth.add(file, _now())
        files = ledger.truth.files()
    if number is not None:
        return next(one for one in files if one.number == number), True
    return next(
        one for one in files
        if not one.removed and (one.sha256, one.kind, one.reader) == (file.sha256, file.kind, file.reader)
    ), False  # fmt: skip


def list_truth(out: Path) -> list[StoredFile]:
    """All that were ever added, in that order, also while a run is going. Raises InputError where out is no output
    folder."""
    _require_ledger(out)
    return stored_files(out)


def remove_truth(out: Path, number: int, *, allow_shared_out: bool = False) -> StoredFile:
    """Raises InputError where no such file is in use; else as add_truth."""
    with _ledger(out, allow_shared_out=allow_shared_out) as ledger:
        done, files = ledger.truth.remove(number, _now()), ledger.truth.files()
    if not done:
        used = ", ".join(str(one.number) for one in files if not one.removed)
        raise InputError(f"no truth file {number} is in use; in use are: {used or 'none'} (see mura-batch truth list)")
    return next(one for one in files if one.number == number)


def table(files: Sequence[StoredFile]) -> Iterator[str]:
    """Lines for a person; the columns of `truth list`."""
    yield f"{'no':>4} {'added':<20} {'kind':<9} {'level':<6} {'labels':>7} {'lines':>7} {'sha256':<12} file"
    for one in files:
        who = f" ({one.reader})" if one.reader else ""
        gone = f", removed {_to_minute(one.removed)}" if one.removed else ""
        yield (
            f"{one.number:>4} {_to_minute(one.added):<20} {one.kind:<9} {one.level:<6} {one.labels:>7} {one.lines:>7} "
            f"{one.sha256[:12]} {one.name}{who}{gone}"
        )


@contextmanager
def _ledger(out: Path, *, allow_shared_out: bool) -> Iterator[Ledger]:
    _require_ledger(out)
    with locked(out, allow_shared=allow_shared_out), Ledger(out / LEDGER_NAME) as ledger:
        yield ledger


def _require_ledger(out: Path) -> None:
    if not (out / LEDGER_NAME).is_file():
        raise InputError(f"{out} is not an output folder of mura-batch: it has no {LEDGER_NAME}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _to_minute(time: str) -> str:
    return time[:16].replace("T", " ") + " UTC"
