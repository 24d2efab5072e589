"""`mura-batch export`: the scores of the ledger as rows, whatever became of the run folders."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from mura_batch.errors import InputError
from mura_batch.history.past_runs import check_out
from mura_batch.outputs.csv_tables import csv_line
from mura_batch.outputs.disclosure import Disclosure
from mura_batch.outputs.manifest import read_manifest
from mura_batch.outputs.tables import Values
from mura_batch.pseudonyms import Identifiers
from mura_batch.records import SCHEMA_VERSION, Decoded, Instance, InstanceScore, rounded
from mura_batch.store.run_folder import newest_run
from mura_batch.store.score_history import ScoreHistory, StoredScore

COLUMNS = (
    "schema_version", "study_uid", "accession", "study_date", "region", "laterality", "sop_instance_uid", "file",
    "content_hash", "model", "model_hash", "settings_hash", "probability", "threshold", "committed", "run",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """since, until: days (UTC) on which a score was committed, both included; scores of before times were kept have
    none. model: a name, a name with its version, or the beginning of a hash; '' for all. identifiers: None for those
    of the newest run."""

    since: date | None = None
    until: date | None = None
    model: str = ""
    identifiers: Identifiers | None = None

    def holds(self, score: StoredScore) -> bool:
        day = score.committed[:10]
        in_time = not (self.since or self.until) or (
            bool(day) and (not self.since or day >= str(self.since)) and (not self.until or day <= str(self.until))
        )
        name = score.model
        return in_time and (
            not self.model
            or self.model in (name, name.rpartition(" ")[0])
            or score.model_hash.startswith(self.model.lower())
        )


def export_lines(out: Path, wanted: Wanted, form: str) -> Iterator[str]:
    """Lines without their ends, the oldest score first; CSV begins with the names of the columns. form: 'csv' or
    'jsonl'. Raises InputError where out is no output folder, LedgerError where a row is not as it was written."""
    check_out(out)
    identifiers = wanted.identifiers or _of_newest_run(out)
    if form == "csv":
        yield ",".join(COLUMNS)
    with ScoreHistory(out) as history:
        disclosure = Disclosure(identifiers, history.names)
        for score, instance in history.every_score():
            if wanted.holds(score):
                values = _values(score, instance, disclosure)
                yield csv_line(values) if form == "csv" else _json(values)


def _of_newest_run(out: Path) -> Identifiers:
    newest = newest_run(out)
    try:
        return Identifiers(read_manifest(newest).identifiers) if newest is not None else Identifiers.ACCESSION
    except (InputError, ValueError) as error:
        raise InputError(f"{newest}: its run.json does not say which identifiers to use: give --identifiers") from error


def _values(score: StoredScore, instance: Instance | None, disclosure: Disclosure) -> Values:
    shown = _shown(score, instance, disclosure)
    sop_uid = score.sop_instance_uid
    if shown is None:
        sop_uid = disclosure.names.of("instance", sop_uid) if disclosure.by_key else sop_uid
        of_file: Values = ("", "", "", "", "", sop_uid, "")
    else:
        of_file = (
            shown.study_uid, shown.accession, shown.study_date, shown.region.region, shown.laterality,
            shown.sop_instance_uid, shown.source.path,
        )  # fmt: skip
    of_score = (
        score.content_hash,
        score.model,
        score.model_hash,
        score.settings_hash,
        rounded(score.probability),
    )
    return (SCHEMA_VERSION, *of_file, *of_score, score.threshold, score.committed, score.run)


def _shown(score: StoredScore, instance: Instance | None, disclosure: Disclosure) -> Instance | None:
    if instance is None:
        return None
    decoded = Decoded(instance, score.content_hash, score.decisions)
    (shown,) = disclosure.images([InstanceScore(decoded, score.probability)])
    return shown.instance


def _json(values: Values) -> str:
    row = {name: None if value == "" else value for name, value in zip(COLUMNS, values, strict=True)}
    return json.dumps(row, ensure_ascii=False)
