"""A sample of a run's studies to be read: OUT/samples/<UTC time>/ with sheet.csv for the reader and sample.json.

The sheet shows no score, its lines are in random order and its strata have numbers: the reader stays blind. sample.json
says what the numbers mean.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from mura_batch.agreement.partial import studies_needed
from mura_batch.agreement.sampling import Stratum, allocate, draw, label_of
from mura_batch.atomic_files import atomic_writer, output_errors
from mura_batch.errors import InputError
from mura_batch.outputs.csv_tables import write_csv
from mura_batch.outputs.manifest import read_manifest
from mura_batch.outputs.read_tables import read_studies
from mura_batch.pseudonyms import require_identifiers
from mura_batch.records import StudyScore
from mura_batch.store.run_folder import newest_run

SHEET_NAME, SAMPLE_NAME = "sheet.csv", "sample.json"
COLUMNS = ("study_uid", "accession", "region", "study_date", "label", "sampling_stratum", "sampling_probability")
STRATA = ("region", "score")


@dataclass(frozen=True, slots=True)
class Wanted:
    """kappa_width: of the 95 % interval. strata: names out of STRATA. seed: of the draw."""

    kappa_width: float
    expected_kappa: float
    strata: tuple[str, ...]
    seed: int


@dataclass(frozen=True, slots=True)
class Sample:
    """sheet: the file for the reader. words: how many studies are needed, in one sentence."""

    sheet: Path
    words: str


def write_sample(out: Path, wanted: Wanted) -> Sample:
    """Raises InputError where OUT has no run, a stratum is unknown, or the run has too few studies or one class of
    calls; OutputError where the folder cannot be written."""
    if unknown := set(wanted.strata) - set(STRATA):
        raise InputError(f"--strata {', '.join(sorted(unknown))}: strata are {' and '.join(STRATA)}")
    run = newest_run(out)
    if run is None:
        raise InputError(f"{out} has no run to draw from: run `mura-batch score` first")
    require_identifiers(read_manifest(run).identifiers, "a sheet for readers")
    rows = _scored_rows(run)
    needed = _needed(rows, wanted, run)
    members = [_stratum_of(row, wanted.strata) for row in rows]
    strata = allocate(Counter(sorted(members)), needed)
    named = {part.name: (label_of(number, part), part) for number, part in enumerate(strata, start=1)}
    lines = [_line(rows[n], *named[members[n]]) for n in draw(members, strata, wanted.seed)]
    folder = out / "samples" / datetime.now(UTC).strftime("%Y-%m-%dT%H%M%S.%fZ")
    with output_errors(folder, "correct the permissions or choose another --out"):
        folder.mkdir(mode=0o700, parents=True)
    write_csv(folder / SHEET_NAME, COLUMNS, lines)
    _write_meaning(folder, wanted, run.name, needed, dict(named.values()))
    share = 100 * sum(bool(row.abnormal) for row in rows) / len(rows)
    words = (
        f"{len(lines):,} of {len(rows):,} scored studies to read; {needed:,} are needed for kappa "
        f"{wanted.expected_kappa:g} with a 95 % interval {wanted.kappa_width:g} wide, {share:.1f} % abnormal "
        "(Donner & Rotondi 2010)"
    )
    return Sample(folder / SHEET_NAME, words)


def _scored_rows(run: Path) -> list[StudyScore]:
    """One row for each study and region, the highest: a label has no side. Scores of any run stand in the latest; those
    of an earlier model are not drawn from."""
    highest: dict[tuple[str, str], StudyScore] = {}
    for row in read_studies(run):
        key = (row.study_uid, row.region)
        if (
            row.score is not None
            and not row.earlier_model
            and (key not in highest or row.score > (highest[key].score or 0.0))
        ):
            highest[key] = row
    return list(highest.values())


def _needed(rows: Sequence[StudyScore], wanted: Wanted, run: Path) -> int:
    abnormal = sum(bool(row.abnormal) for row in rows)
    if not 0 < abnormal < len(rows):
        raise InputError(f"{run} has {len(rows)} scored studies, {abnormal} of them abnormal: kappa needs both classes")
    try:
        needed = studies_needed(wanted.expected_kappa, wanted.kappa_width, abnormal / len(rows))
    except ValueError as error:
        raise InputError(f"--for-kappa-width or --expected-kappa: {error}") from error
    if needed > len(rows):
        raise InputError(
            f"{needed:,} studies are needed and {run} has {len(rows):,} scored ones: choose a wider --for-kappa-width"
        )
    return needed


def _stratum_of(row: StudyScore, strata: Sequence[str]) -> str:
    """The score is cut at the threshold and halfway to either end."""
    parts = {"region": str(row.region), "score": _score_range(row.score or 0.0, row.threshold)}
    return ", ".join(parts[name] for name in STRATA if name in strata) or "all"


def _score_range(score: float, threshold: float) -> str:
    cuts = (0.0, threshold / 2, threshold, (1 + threshold) / 2, 1.0)
    n = sum(score > cut for cut in cuts[1:-1])
    return f"score {cuts[n]:.3g} to {cuts[n + 1]:.3g}"


def _line(row: StudyScore, label: str, stratum: Stratum) -> tuple[str, ...]:
    return (row.study_uid, row.accession, row.region, row.study_date, "", label, f"{stratum.probability:.9g}")


def _write_meaning(folder: Path, wanted: Wanted, run: str, needed: int, strata: dict[str, Stratum]) -> None:
    values = {
        "run": run,
        **asdict(wanted),
        "needed": needed,
        "strata": {label: asdict(part) | {"probability": part.probability} for label, part in strata.items()},
    }
    with atomic_writer(folder / SAMPLE_NAME) as file:
        file.write(json.dumps(values, indent=1) + "\n")
