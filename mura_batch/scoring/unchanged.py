"""A night on which nothing has changed since a run without news: its tables are those of that run, which are linked
instead of written, and what the run counted is taken from its manifest.

The ledger knows whether one of its rows changed (`store.settled`). What else a table depends on is the basis: where it
is another tonight, the tables are written from the ledger as on any other night.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from mura_batch.atomic_files import link_or_copy, output_errors
from mura_batch.errors import InputError
from mura_batch.model_card import sha256_of
from mura_batch.outputs.manifest import RunManifest, read_manifest
from mura_batch.outputs.sink import RunInfo
from mura_batch.outputs.tables import TABLES
from mura_batch.scoring.results import Tally
from mura_batch.store.ledger import Ledger
from mura_batch.version import __version__


def basis_of(info: RunInfo, formats: Sequence[str], run: str) -> str:
    """Names everything outside the ledger that the tables of a run depend on. run: the name of the run that has
    them."""
    values = (
        __version__, run, info.settings_hash, info.model.hash, asdict(info.model.card), str(info.studies), info.options,
        tuple(formats), info.disclosure.identifiers, info.disclosure.names.check,
    )  # fmt: skip
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()


def unchanged_run(info: RunInfo, formats: Sequence[str], ledger: Ledger) -> RunManifest | None:
    """The manifest of the previous run where this run's tables would say the same; None where they may not, or where
    its files are not as they were written."""
    previous = info.previous
    if previous is None or info.truth is not None:
        return None
    if not ledger.settled.holds(basis_of(info, formats, previous.name), ledger.files.digest):
        return None
    try:
        before = read_manifest(previous)
        whole = all(before.files.get(name) == sha256_of(previous / name) for name in _names(formats))
    except (InputError, OSError):
        return None
    return before if whole else None


def settle(info: RunInfo, formats: Sequence[str], ledger: Ledger, tally: Tally) -> None:
    """After the run was published. A run with news says 'scored' where the next one will say 'unchanged', and a
    comparison with the truth needs every row; a score of an earlier model stays only until it is scored again."""
    if not tally.has_news and not tally.earlier_model_rows and info.truth is None:
        ledger.settled.put(basis_of(info, formats, info.name), ledger.files.digest)


def take_tables(info: RunInfo, formats: Sequence[str], before: RunManifest) -> Tally:
    """Links the tables of the previous run into this one; returns what they count. Raises OutputError."""
    assert info.previous is not None  # noqa: S101 - it has the manifest
    for name in _names(formats):
        path = info.folder / name
        with output_errors(path):
            link_or_copy(info.previous / name, path)
    return Tally(
        unchanged=before.counts["unchanged"],
        skipped=Counter(before.skipped_by_reason),
        studies=Counter(before.studies_by_status),
        missing=before.missing,
    )


def _names(formats: Sequence[str]) -> Iterator[str]:
    yield from (f"{table}.{name}" for name in formats for table in TABLES)
