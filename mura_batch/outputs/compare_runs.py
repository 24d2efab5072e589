"""Two runs over the same studies: which calls changed, and which of the two agrees better with the truth.

Rows are compared that both runs scored from the same files, each by its own model. A row whose files differ is counted
and left out, since its score may have changed because of them; so is one whose run kept the score of an earlier model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mura_batch.agreement.estimate import Estimate
from mura_batch.agreement.kappa import clustered_kappa_score
from mura_batch.agreement.paired import Pair, Paired, paired_figures
from mura_batch.agreement.settle import Settlement, settle
from mura_batch.agreement.truth_file import Truth
from mura_batch.errors import InputError, TruthError
from mura_batch.outputs.agreement_files import truth_values
from mura_batch.outputs.manifest import RunManifest, read_manifest
from mura_batch.outputs.read_tables import read_rows, read_studies
from mura_batch.outputs.report.render import disclosed
from mura_batch.pseudonyms import Identifiers
from mura_batch.records import SCHEMA_VERSION, StudyScore

Contents = tuple[str, ...]  # hashes of the files that a row's score is the mean of, sorted


@dataclass(frozen=True, slots=True)
class Changed:
    """A row that the runs call differently. label: the truth, None where there is none. images: (content hash, score in
    the first run, score in the second)."""

    first: StudyScore
    second: StudyScore
    label: int | None
    images: tuple[tuple[str, float, float], ...]

    @property
    def verdict(self) -> str:
        """'better', 'worse' or 'no truth'."""
        if self.label is None:
            return "no truth"
        return "better" if self.second.abnormal == bool(self.label) else "worse"


@dataclass(frozen=True, slots=True)
class RunComparison:
    """rows: scored in both runs from the same files. other_files: scored in both from other files. kept: scored in
    both, but in one or both by an earlier model. only_first, only_second: scored in one. calls: (first, second) ->
    rows. between: kappa of the two runs' calls. changed: worse ones first, the largest difference of scores first.
    labels: compared with the truth, and figures what came of it. truth: the files that were used, None where there is
    none."""

    first: RunManifest
    second: RunManifest
    rows: int
    other_files: int
    kept: int
    only_first: int
    only_second: int
    calls: dict[tuple[bool, bool], int]
    between: Estimate
    changed: tuple[Changed, ...]
    figures: dict[str, Paired] = field(default_factory=dict)
    labels: int = 0
    truth: Truth | None = None

    def as_json(self) -> dict[str, Any]:
        """docs/outputs.md describes it."""
        return {
            "schema_version": SCHEMA_VERSION,
            "first": _run_values(self.first),
            "second": _run_values(self.second),
            "rows": self.rows,
            "other_files": self.other_files,
            "kept": self.kept,
            "only_first": self.only_first,
            "only_second": self.only_second,
            "calls": {
                f"{_word(first)}_{_word(second)}": self.calls.get((first, second), 0)
                for first in (False, True)
                for second in (False, True)
            },
            "kappa_between_runs": self.between.as_json(),
            "truth": truth_values(self.truth) if self.truth is not None else [],
            "labels": self.labels,
            "figures": {name: _figure_values(figure) for name, figure in self.figures.items()},
            "changed": [
                {
                    "row_key": one.first.row_key,
                    "study_uid": one.first.study_uid,
                    "accession": one.first.accession,
                    "first": one.first.score,
                    "second": one.second.score,
                    "label": one.label,
                    "verdict": one.verdict,
                }
                for one in self.changed
            ],
        }


def compare_runs(first: Path, second: Path, truth: Truth | None) -> RunComparison:
    """first, second: folders of published runs. Raises InputError where one is none, or where they scored no study from
    the same files; TruthError where a truth that was given names none of these."""
    a, b = _Run.read(first), _Run.read(second)
    if len({run.manifest.identifiers == Identifiers.KEY for run in (a, b)}) > 1:
        raise InputError(
            f"one of {first} and {second} names studies by keys only: score both with the same --identifiers"
        )
    truth = disclosed(truth, b.manifest, second) if truth is not None else None
    common = [key for key in a.rows if key in b.rows]
    own = [key for key in common if not a.rows[key].earlier_model and not b.rows[key].earlier_model]
    same = [key for key in own if a.contents(key) == b.contents(key)]
    if not same:
        raise InputError(
            f"{first} and {second} have no study that both scored from the same files, each by its own model: nothing "
            "to compare"
        )
    settled = settle(truth, _by_study(a.rows[key] for key in same)) if truth is not None else Settlement()
    pairs = [_pair(one.label, [(a.rows[r.row_key], b.rows[r.row_key]) for r in one.rows]) for one in settled.labels]
    if truth is not None and not truth.is_stored and not pairs:
        raise TruthError(f"{', '.join(file.name for file in truth.files)} labels no study that both runs scored")
    labels = {one.rows[0].row_key: one.label for one in settled.labels if len(one.rows) == 1}
    calls: dict[tuple[bool, bool], int] = {}
    for key in same:
        call = (bool(a.rows[key].abnormal), bool(b.rows[key].abnormal))
        calls[call] = calls.get(call, 0) + 1
    return RunComparison(
        first=a.manifest,
        second=b.manifest,
        rows=len(same),
        other_files=len(own) - len(same),
        kept=len(common) - len(own),
        only_first=len(a.rows) - len(common),
        only_second=len(b.rows) - len(common),
        calls=calls,
        between=clustered_kappa_score(
            [int(bool(a.rows[key].abnormal)) for key in same],
            [int(bool(b.rows[key].abnormal)) for key in same],
            [_patient(a.rows[key]) for key in same],
        ),
        changed=_changed(a, b, same, labels),
        figures=paired_figures(pairs) if pairs else {},
        labels=len(pairs),
        truth=truth.of_run(*_names(a.rows[key] for key in same)) if truth is not None and pairs else None,
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """rows: row_key -> the row, of those with a score. images: row_key -> content hash -> score."""

    manifest: RunManifest
    rows: dict[str, StudyScore]
    images: dict[str, dict[str, float]]

    @classmethod
    def read(cls, folder: Path) -> _Run:
        rows = {row.row_key: row for row in read_studies(folder) if row.score is not None}
        images: dict[str, dict[str, float]] = {key: {} for key in rows}
        for image in read_rows(folder, "images", "row_key", rows):
            images[image["row_key"]][image["content_hash"]] = float(image["probability"])
        return cls(read_manifest(folder), rows, images)

    def contents(self, key: str) -> Contents:
        return tuple(sorted(self.images[key]))


def _changed(a: _Run, b: _Run, keys: Sequence[str], labels: Mapping[str, int]) -> tuple[Changed, ...]:
    changed = [
        Changed(
            a.rows[key],
            b.rows[key],
            labels.get(key),
            tuple((content, score, b.images[key][content]) for content, score in a.images[key].items()),
        )
        for key in keys
        if a.rows[key].abnormal != b.rows[key].abnormal
    ]
    order = ("worse", "better", "no truth")
    return tuple(sorted(changed, key=lambda one: (order.index(one.verdict), -_apart(one), one.first.row_key)))


def _apart(one: Changed) -> float:
    return abs((one.first.score or 0.0) - (one.second.score or 0.0))


def _pair(label: int, rows: Sequence[tuple[StudyScore, StudyScore]]) -> Pair:
    """Of the rows that a label is about the highest, in each run: a study is abnormal if any part of it is."""
    first = max((row for row, _ in rows), key=lambda row: row.score or 0.0)
    second = max((row for _, row in rows), key=lambda row: row.score or 0.0)
    return Pair(
        _patient(first),
        label,
        first.score or 0.0,
        second.score or 0.0,
        bool(first.abnormal),
        bool(second.abnormal),
    )


def _by_study(rows: Iterable[StudyScore]) -> dict[str, tuple[StudyScore, ...]]:
    studies: dict[str, tuple[StudyScore, ...]] = {}
    for row in rows:
        studies[row.study_uid] = (*studies.get(row.study_uid, ()), row)
    return studies


def _names(rows: Iterable[StudyScore]) -> tuple[set[str], set[str]]:
    listed = list(rows)
    return {row.study_uid for row in listed}, {row.accession for row in listed}


def _patient(row: StudyScore) -> str:
    return row.patient_key or row.study_uid


def _word(abnormal: bool) -> str:
    return "abnormal" if abnormal else "normal"


def _run_values(manifest: RunManifest) -> dict[str, Any]:
    return {
        "run": manifest.run,
        "started": manifest.started,
        "model": manifest.model,
        "settings_hash": manifest.settings_hash,
        "precision": manifest.runner["precision"],
    }


def _figure_values(figure: Paired) -> dict[str, Any]:
    estimates = {name: getattr(figure, name).as_json() for name in ("first", "second", "difference")}
    if figure.p is None:
        return estimates
    counts = {name: value for name, value in asdict(figure).items() if name in {"only_first", "only_second"}}
    return {**estimates, **counts, "p": figure.p}
