"""`mura-batch forget`: a deletion request, carried out in the ledger, the pictures and every run of an OUT.

What is to go is noted in the ledger first, so that after a kill in the middle the next `forget`, of whatever study,
does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mura_batch.errors import InputError
from mura_batch.history.past_runs import check_out
from mura_batch.outputs.forget_rows import (
    Names,
    forget_beside_runs,
    forget_in_run,
    remove_temporary_files,
    still_named,
    tables_of,
)
from mura_batch.outputs.index.index_page import refresh_index
from mura_batch.pseudonyms import Pseudonyms
from mura_batch.store.database import LEDGER_NAME
from mura_batch.store.forgetting import Forgotten, joined
from mura_batch.store.ledger import Ledger
from mura_batch.store.lock import locked
from mura_batch.store.pictures import FOLDER as PICTURES
from mura_batch.store.run_folder import published_runs
from mura_batch.store.runs import KnownRuns

_NOT_READ = frozenset({PICTURES, "cache"})  # pictures hold no text, the cache nothing of a study


@dataclass(frozen=True, slots=True)
class Deletion:
    """keys: of the studies. runs: folders that were changed. others: other files of OUT that were changed or removed.
    left: files in which a name still stands, which should be none."""

    keys: tuple[str, ...]
    scores: int
    pictures: int
    labels: int
    runs: int
    others: tuple[Path, ...]
    left: tuple[Path, ...]
    warnings: tuple[str, ...]


def forget(out: Path, studies: Sequence[str], patients: Sequence[str], *, allow_shared_out: bool = False) -> Deletion:
    """studies: Study Instance UIDs; patients: Patient IDs, whose studies are looked up. Raises InputError where OUT has
    nothing of them, LockHeldError while a run is going, OutputError and LedgerError where something cannot be
    written."""
    check_out(out)
    with locked(out, allow_shared=allow_shared_out):
        remove_temporary_files(out)
        with Ledger(out / LEDGER_NAME) as ledger:
            cut_off = ledger.forgetting.pending()
            asked = [*studies, *(uid for patient in patients for uid in ledger.forgetting.studies_of(patient))]
            what = joined(cut_off, ledger.forgetting.look_up(sorted(set(asked))))
            names = Names(_names(what, ledger.names))
            runs = tuple(name for name in published_runs(out) if _is_named(out / "runs" / name, names))
            what = joined(
                what, Forgotten((), instances=tuple(names.instances), contents=tuple(names.contents), runs=runs)
            )
            labels = ledger.truth.forget(what.studies, what.accessions)
            if not (cut_off or what.files or what.runs or labels):
                who = "the ledger has no radiograph of this patient" if patients else "no study of this UID is known"
                raise InputError(f"{out}: {who}; nothing was removed")
            ledger.forgetting.begin(what)
            keys = tuple(ledger.names.study(uid) for uid in what.studies)
        # The ledger is closed: a report reads it, and it may be open to one program at a time.
        done = [forget_in_run(out / "runs" / name, names, again=name in what.runs) for name in published_runs(out)]
        others = [*forget_beside_runs(out, names), *_remove_old_ledgers(out)]
        scores, pictures, warnings = _forget_in_ledger(out, what)
    left = still_named(out, _unique(what), _NOT_READ)
    return Deletion(keys, scores, pictures, labels, sum(done), tuple(others), tuple(left), warnings)


def _is_named(run: Path, names: Names) -> bool:
    return sum(names.look_through(path) for path in tables_of(run)) > 0  # each is read: it notes what they tell


def _forget_in_ledger(out: Path, what: Forgotten) -> tuple[int, int, tuple[str, ...]]:
    with Ledger(out / LEDGER_NAME) as ledger:
        pictures = ledger.forgetting.blank_pictures(what)
        scores = ledger.forgetting.delete(what)
        ledger.forgetting.erase_free_pages()
        warnings = refresh_index(out, KnownRuns(ledger.runs.published(), ledger.runs.removed()))
        ledger.forgetting.end()
    return scores, pictures, warnings


def _names(what: Forgotten, keys: Pseudonyms) -> frozenset[str]:
    """As themselves, and as outputs with keys only name them."""
    kinds = {"study": what.studies, "accession": what.accessions, "file": what.files}
    return frozenset(name for kind, of in kinds.items() for one in of for name in (one, keys.of(kind, one)))


def _unique(what: Forgotten) -> list[str]:
    """Names that can stand nowhere by chance."""
    return [*what.studies, *what.instances, *what.files]


def _remove_old_ledgers(out: Path) -> list[Path]:
    """Copies that were made before a change of schema hold every row."""
    copies = sorted(out.glob("ledger-schema-*.sqlite"))
    for copy in copies:
        copy.unlink()
    return copies
