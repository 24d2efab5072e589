"""agreement.json and agreement.csv: every figure of the report's agreement, for a program. truth.json: the labels they
were computed from, so that the report can be rendered again without the truth file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mura_batch.agreement.sampling import Sampled
from mura_batch.agreement.truth import Contradiction, Truth
from mura_batch.atomic_files import write_atomic
from mura_batch.errors import InputError
from mura_batch.outputs.csv_tables import write_csv
from mura_batch.outputs.sink import EndSink, RunEnd
from mura_batch.outputs.tables import Values
from mura_batch.records import SCHEMA_VERSION

if TYPE_CHECKING:
    from mura_batch.agreement.comparison import Comparison
    from mura_batch.agreement.summary import Group

AGREEMENT_JSON, AGREEMENT_CSV, TRUTH_JSON = "agreement.json", "agreement.csv", "truth.json"
COLUMNS = (
    "schema_version", "group", "figure", "value", "low", "high", "method", "n", "reason", "truth_file", "truth_sha256",
)  # fmt: skip


class AgreementFiles(EndSink):
    """Written when the run is finished, if it has a truth."""

    def finish(self, end: RunEnd) -> None:
        if end.comparison is not None:
            write_agreement(self._run.folder, end.comparison)


def write_agreement(folder: Path, comparison: Comparison) -> None:
    """The three files, each whole or not at all. Raises OutputError."""
    _write_json(folder / TRUTH_JSON, _stored(comparison.truth))
    _write_json(folder / AGREEMENT_JSON, agreement_values(comparison))
    write_csv(folder / AGREEMENT_CSV, COLUMNS, _csv_rows(comparison))


def agreement_values(comparison: Comparison) -> dict[str, Any]:
    """The content of agreement.json. Figures that are undefined have value null and a reason."""
    agreement = comparison.agreement
    figures: dict[str, dict[str, Any]] = {}
    for group, name, estimate in comparison.figures():
        figures.setdefault(group, {})[name] = estimate.as_json()
    tables = (agreement.overall, *agreement.regions) if agreement is not None else ()
    return {
        "schema_version": SCHEMA_VERSION,
        "truth": [truth_values(comparison.truth)],
        "counts": comparison.counts,
        "contradictory": [asdict(one) for one in comparison.truth.contradictory],
        "patients": agreement.patients if agreement is not None else 0,
        "may_be_biased": agreement.may_be_biased if agreement is not None else False,
        "confusion": {group.name: _table(group) for group in tables},
        "figures": figures,
    }


def truth_values(truth: Truth) -> dict[str, Any]:
    """Which truth it is: file name, hash, what names a study, and the level of its labels."""
    return {
        "file": truth.source,
        "sha256": truth.sha256,
        "study_named_by": truth.by,
        "level": "region" if any(region for (_, region), _ in truth.labels) else "study",
        "readers": [name for name, _ in truth.readers],
    }


def manifest_values(comparison: Comparison) -> dict[str, Any]:
    """What run.json says of it."""
    agreement = comparison.agreement
    return {
        "truth": [truth_values(comparison.truth)],
        "kappa": agreement.overall.kappa.as_json() if agreement is not None else None,
    }


def _stored(truth: Truth) -> dict[str, Any]:
    return {
        "source": truth.source,
        "sha256": truth.sha256,
        "by": truth.by,
        "labels": truth.labels,
        "readers": truth.readers,
        "sampling": [(key, asdict(sampled)) for key, sampled in truth.sampling],
        "unread": truth.unread,
        "left_out": truth.left_out,
        "contradictory": [asdict(one) for one in truth.contradictory],
    }


def read_stored_truth(folder: Path) -> Truth | None:
    """The truth that the run's agreement was computed with; None where it has none. Raises InputError where truth.json
    was changed by hand."""
    path = folder / TRUTH_JSON
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Truth(
            source=values["source"],
            by=values["by"],
            labels=_keyed(values["labels"]),
            readers=tuple((name, _keyed(labels)) for name, labels in values["readers"]),
            sampling=tuple(((study, region), Sampled(**of)) for (study, region), of in values["sampling"]),
            unread=values["unread"],
            sha256=values["sha256"],
            left_out=tuple((reason, n) for reason, n in values["left_out"]),
            contradictory=tuple(
                Contradiction(one["study"], one["region"], tuple(one["lines"])) for one in values["contradictory"]
            ),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error!r}): give the truth file with --truth") from error


def _keyed(labels: list[Any]) -> tuple[tuple[tuple[str, str], int], ...]:
    return tuple(((study, region), int(label)) for (study, region), label in labels)


def _table(group: Group) -> dict[str, int]:
    names = ("true_negative", "false_positive", "false_negative", "true_positive")
    return {name: getattr(group, name) for name in names}


def _csv_rows(comparison: Comparison) -> Iterator[Values]:
    truth = (comparison.truth.source, comparison.truth.sha256)
    for group, name, estimate in comparison.figures():
        values = estimate.as_json()
        numbers = [values[field] for field in ("value", "low", "high", "method", "n")]
        yield (SCHEMA_VERSION, group, name, *numbers, estimate.reason, *truth)


def _write_json(path: Path, values: dict[str, Any]) -> None:
    write_atomic(path, (json.dumps(values, indent=2, ensure_ascii=True) + "\n").encode())
