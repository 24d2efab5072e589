"""agreement.json and agreement.csv: every figure of the report's agreement, for a program. truth.json: the labels they
were computed from, so that the report can be rendered again without the truth file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mura_batch.agreement.truth_file import Said, Sampled, Truth, TruthFile, TruthKind, TruthLine
from mura_batch.atomic_files import write_atomic
from mura_batch.errors import InputError
from mura_batch.outputs.csv_tables import write_csv
from mura_batch.outputs.sink import EndSink, RunEnd
from mura_batch.outputs.tables import Values
from mura_batch.records import SCHEMA_VERSION

if TYPE_CHECKING:
    from mura_batch.agreement.comparison import Comparison
    from mura_batch.agreement.group import Group

AGREEMENT_JSON, AGREEMENT_CSV, TRUTH_JSON = "agreement.json", "agreement.csv", "truth.json"
COLUMNS = (
    "schema_version", "group", "figure", "value", "low", "high", "method", "n", "reason", "truth_file", "truth_sha256",
)  # fmt: skip
_FILE_FIELDS = tuple(field.name for field in fields(TruthFile) if field.name != "lines")


class AgreementFiles(EndSink):
    """Written when the run is finished, if it has a truth."""

    def finish(self, end: RunEnd) -> None:
        if end.comparison is not None:
            write_agreement(self._run.folder, end.comparison)


def write_agreement(folder: Path, comparison: Comparison) -> None:
    """The three files, each whole or not at all. Raises OutputError."""
    _write_json(folder / TRUTH_JSON, _kept(comparison.truth))
    _write_json(folder / AGREEMENT_JSON, agreement_values(comparison))
    write_csv(folder / AGREEMENT_CSV, COLUMNS, _csv_rows(comparison))


def agreement_values(comparison: Comparison) -> dict[str, Any]:
    """The content of agreement.json. Figures that are undefined have value null and a reason."""
    agreement, matched = comparison.agreement, comparison.matched
    figures: dict[str, dict[str, Any]] = {}
    for group, name, estimate in comparison.figures():
        figures.setdefault(group, {})[name] = estimate.as_json()
    tables = [agreement.overall, *comparison.models, *agreement.regions] if agreement is not None else []
    groupings = agreement.groupings if agreement is not None else ()
    tables += [group for grouping in groupings if grouping.kind != "region" for group in grouping.groups]
    return {
        "schema_version": SCHEMA_VERSION,
        "truth": truth_values(comparison.truth),
        "counts": comparison.counts,
        "contradictory": [asdict(one) for one in matched.contradictory],
        "overruled": [asdict(one) for one in matched.overruled],
        "no_such_region_or_side": matched.no_row,
        "ambiguous_accession": matched.ambiguous,
        "not_in_this_run": matched.absent,
        "patients": agreement.patients if agreement is not None else 0,
        "may_be_biased": agreement.may_be_biased if agreement is not None else False,
        "groups_left_out": {of.kind: {"groups": of.left_out, "studies": of.cases_left_out} for of in groupings},
        "comparisons": agreement.comparisons if agreement is not None else 0,
        "confusion": {group.name: _table(group) for group in tables if not group.is_suppressed},
        "figures": figures,
    }


def truth_values(truth: Truth) -> list[dict[str, Any]]:
    """Which truth it is: of each file its name and hash, whose it is, what names a study, the level of its labels."""
    return [
        {
            "file": file.name,
            "sha256": file.sha256,
            "kind": file.kind,
            "reader": file.reader,
            "added": file.added,
            "study_named_by": file.by,
            "level": file.level,
            "readers": file.readers,
            "lines": len(file.lines),
        }
        for file in truth.files
    ]


def manifest_values(comparison: Comparison) -> dict[str, Any]:
    """What run.json says of it."""
    agreement = comparison.agreement
    return {
        "truth": truth_values(comparison.truth),
        "kappa": agreement.overall.kappa.as_json() if agreement is not None else None,
    }


def _kept(truth: Truth) -> dict[str, Any]:
    """The content of truth.json: a line is a list of what TruthLine holds."""
    return {
        "is_stored": truth.is_stored,
        "files": [
            {**{name: getattr(file, name) for name in _FILE_FIELDS}, "lines": [_kept_line(line) for line in file.lines]}
            for file in truth.files
        ],
    }


def _kept_line(line: TruthLine) -> list[Any]:
    drawn = [line.sampled.stratum, line.sampled.probability] if line.sampled is not None else None
    return [line.number, line.study, line.region, line.side, line.said, line.readers, drawn]


def read_run_truth(folder: Path) -> Truth | None:
    """The truth that the run's agreement was computed with; None where it has none. Raises InputError where truth.json
    was changed by hand."""
    path = folder / TRUTH_JSON
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Truth(tuple(_file_of(file) for file in values["files"]), bool(values["is_stored"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error!r}): give the truth file with --truth") from error


def _file_of(values: dict[str, Any]) -> TruthFile:
    return TruthFile(
        **{
            **{name: values[name] for name in _FILE_FIELDS},
            "kind": TruthKind(values["kind"]),
            "readers": tuple(values["readers"]),
            "drawn": tuple((stratum, float(probability)) for stratum, probability in values["drawn"]),
            "lines": tuple(map(_line_of, values["lines"])),
        }
    )


def _line_of(values: list[Any]) -> TruthLine:
    number, study, region, side, said, readers, drawn = values
    return TruthLine(
        number, study, region, side, None if said is None else Said(said), tuple(map(Said, readers)),
        None if drawn is None else Sampled(*drawn),
    )  # fmt: skip


def _table(group: Group) -> dict[str, int]:
    names = ("true_negative", "false_positive", "false_negative", "true_positive")
    return {name: getattr(group, name) for name in names}


def _csv_rows(comparison: Comparison) -> Iterator[Values]:
    files = comparison.truth.files
    truth = ("; ".join(file.name for file in files), "; ".join(file.sha256 for file in files))
    for group, name, estimate in comparison.figures():
        values = estimate.as_json()
        numbers = [values[field] for field in ("value", "low", "high", "method", "n")]
        yield (SCHEMA_VERSION, group, name, *numbers, estimate.reason, *truth)


def _write_json(path: Path, values: dict[str, Any]) -> None:
    write_atomic(path, (json.dumps(values, indent=2, ensure_ascii=True) + "\n").encode())
