"""`python -m bench.coverage`: how often the 95 % intervals of mura_batch.agreement hold the true value, by simulation.

Each cell draws its own studies from its own seed, so that a run that was stopped goes on where it was: finished cells
are read from the JSON file. The tables of docs/statistics.md are this program's.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from mura_batch.agreement.curves import clustered_rate, rate, roc_auc_score
from mura_batch.agreement.estimate import Estimate
from mura_batch.agreement.kappa import clustered_kappa_score, cohen_kappa_score, kappas
from mura_batch.agreement.paired import Pair, paired_figures
from mura_batch.agreement.partial import Draw, corrected

SEED = 20261127
DRAWS = 10_000  # the standard error of a coverage of 95 % is then 0.2 %
JSON = Path(__file__).resolve().parents[1] / "docs" / "coverage.json"
NORMAL = NormalDist()
GAIN = 0.05  # of two models on the same studies: the area of the second less that of the first
READ = {True: 0.5, False: 0.1}  # share of the studies of an archive that are read, by the call
STUDIES_OF_A_PATIENT = (1, 1, 1, 2, 2, 3, 4)  # drawn from with equal chances: two on average

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cell:
    """One setting. section: 'kappa', 'auroc', 'rate' (n independent studies), 'patients' (n patients with several),
    'paired' (n studies that two models score) or 'sample' (an archive of n studies of which READ are read).

    level: the true kappa, area or rate; of patients and archives the true area, of pairs that of the first model.
    spread: for auroc the standard deviation of abnormal scores, where that of normal ones is 1; for patients the
    correlation of the studies of one patient, for pairs that of the two scores; for a sample 1 where all studies called
    abnormal are read; else 0.
    """

    section: str
    n: int
    prevalence: float
    level: float
    spread: float = 0.0

    @property
    def key(self) -> str:
        return f"{self.section} n={self.n} prevalence={self.prevalence:g} level={self.level:g} spread={self.spread:g}"


@dataclass(slots=True)
class Tally:
    """Draws whose interval held the true value, lay below it, lay above it, and that had no interval."""

    held: int = 0
    below: int = 0
    above: int = 0
    none: int = 0

    def add(self, estimate: Estimate, true: float, draws: int = 1) -> None:
        if math.isnan(estimate.low):
            self.none += draws
        elif estimate.high < true:
            self.below += draws
        elif estimate.low > true:
            self.above += draws
        else:
            self.held += draws

    @property
    def coverage(self) -> float:
        """Per cent of the draws that had an interval."""
        return 100 * self.held / max(1, self.held + self.below + self.above)


Tallies = dict[str, Tally]


def cells() -> Iterator[Cell]:
    for n in (50, 100, 207, 500):
        for prevalence in (0.1, 0.3, 0.5):
            yield from (Cell("kappa", n, prevalence, kappa) for kappa in (0.4, 0.6, 0.8, 0.9))
    for n in (50, 100, 207):
        for prevalence in (0.1, 0.3, 0.5):
            for spread in (1.0, 1.5):
                yield from (Cell("auroc", n, prevalence, area, spread) for area in (0.7, 0.9, 0.95))
    for n in (50, 100, 207, 500):
        for prevalence in (0.1, 0.3, 0.5):
            yield from (Cell("rate", n, prevalence, share) for share in (0.6, 0.8, 0.9, 0.95))
    for n in (20, 60, 150):
        for prevalence in (0.1, 0.3, 0.5):
            yield Cell("patients", n, prevalence, 0.9, 0.5)
    yield from (Cell("paired", n, prevalence, 0.8, 0.7) for n in (100, 300) for prevalence in (0.1, 0.4))
    for prevalence in (0.1, 0.3):
        yield from (Cell("sample", 3000, prevalence, area) for area in (0.8, 0.9, 0.95))
    for prevalence in (0.1, 0.3):
        yield from (Cell("sample", 3000, prevalence, area, 1.0) for area in (0.8, 0.9, 0.95))


def simulate(cell: Cell, draws: int = DRAWS) -> Tallies:
    """Same cell, same draws: the seed is SEED and the cell's key."""
    rng = np.random.default_rng([SEED, zlib.crc32(cell.key.encode())])
    return SECTIONS[cell.section](cell, rng, draws)


def _kappa(cell: Cell, rng: np.random.Generator, draws: int) -> Tallies:
    """Tables of two readers who call equally often abnormal."""
    p, tally = cell.prevalence, Tally()
    apart = (1 - cell.level) * p * (1 - p)
    tables = rng.multinomial(cell.n, [1 - p - apart, apart, apart, p - apart], draws)
    for table, count in zip(*np.unique(tables, axis=0, return_counts=True), strict=True):
        tally.add(cohen_kappa_score(table.reshape(2, 2)), cell.level, int(count))
    return {"kappa": tally}


def _auroc(cell: Cell, rng: np.random.Generator, draws: int) -> Tallies:
    """Normal scores of both classes: the area is Phi(shift / sqrt(1 + spread^2)) (Green & Swets 1966)."""
    shift, tally = math.hypot(1, cell.spread) * NORMAL.inv_cdf(cell.level), Tally()
    for _ in range(draws):
        truth = rng.random(cell.n) < cell.prevalence
        score = rng.normal(size=cell.n) * np.where(truth, cell.spread, 1) + shift * truth
        tally.add(roc_auc_score(truth, score), cell.level)
    return {"auroc": tally}


def _rate(cell: Cell, rng: np.random.Generator, draws: int) -> Tallies:
    """Sensitivity: of n studies a random number is abnormal."""
    tally, abnormal = Tally(), rng.binomial(cell.n, cell.prevalence, draws)
    pairs = np.stack([rng.binomial(abnormal, cell.level), abnormal], axis=1)
    for (hits, n), count in zip(*np.unique(pairs, axis=0, return_counts=True), strict=True):
        tally.add(rate(int(hits), int(n)), cell.level, int(count))
    return {"rate": tally}


def _patients(cell: Cell, rng: np.random.Generator, draws: int) -> Tallies:
    """Truth and score of a patient's studies are correlated; the threshold leans to specificity."""
    shift = math.sqrt(2) * NORMAL.inv_cdf(cell.level)
    threshold = shift / 2 + 0.3
    sensitivity, specificity = NORMAL.cdf(shift - threshold), NORMAL.cdf(threshold)
    true = {
        "kappa": _kappa_of(cell.prevalence, sensitivity, specificity),
        "auroc": cell.level, "sensitivity": sensitivity, "specificity": specificity,
    }  # fmt: skip
    tallies = {name: Tally() for name in true}
    for _ in range(draws):
        patients, truth, score = _correlated_studies(cell, shift, rng)
        for name, estimate in _estimates(patients, truth, score, score > threshold).items():
            tallies[name].add(estimate, true[name])
    return tallies


def _kappa_of(prevalence: float, sensitivity: float, specificity: float) -> float:
    both, neither = prevalence * sensitivity, (1 - prevalence) * specificity
    called = both + (1 - prevalence) * (1 - specificity)
    chance = prevalence * called + (1 - prevalence) * (1 - called)
    return (both + neither - chance) / (1 - chance)


def _correlated_studies(cell: Cell, shift: float, rng: np.random.Generator) -> tuple[Ints, NDArray[np.bool_], Floats]:
    """Patient, truth and score of each study."""
    patients = np.repeat(np.arange(cell.n), rng.choice(STUDIES_OF_A_PATIENT, cell.n))

    def correlated() -> Floats:
        shared, own = rng.normal(size=cell.n)[patients], rng.normal(size=len(patients))
        return np.asarray(math.sqrt(cell.spread) * shared + math.sqrt(1 - cell.spread) * own)

    truth = correlated() > NORMAL.inv_cdf(1 - cell.prevalence)
    return patients, truth, correlated() + shift * truth


def _estimates(
    patients: Ints, truth: NDArray[np.bool_], score: Floats, called: NDArray[np.bool_]
) -> dict[str, Estimate]:
    return {
        "kappa": clustered_kappa_score(truth.tolist(), called.tolist(), patients.tolist()),
        "auroc": roc_auc_score(truth, score, patients.tolist()),
        "sensitivity": clustered_rate(called[truth].tolist(), patients[truth].tolist()),
        "specificity": clustered_rate((~called[~truth]).tolist(), patients[~truth].tolist()),
    }


def _paired(cell: Cell, rng: np.random.Generator, draws: int) -> Tallies:
    """Differences of the second model less the first on the same studies; the thresholds lean to specificity."""
    areas = (cell.level, cell.level + GAIN)
    shifts = [math.sqrt(2) * NORMAL.inv_cdf(area) for area in areas]
    rates = [(NORMAL.cdf(shift / 2 - 0.3), NORMAL.cdf(shift / 2 + 0.3)) for shift in shifts]
    (first_se, first_sp), (second_se, second_sp) = rates
    of_first, of_second = (_kappa_of(cell.prevalence, *of) for of in rates)
    true = {
        "kappa": of_second - of_first, "auroc": GAIN,
        "accuracy": cell.prevalence * (second_se - first_se) + (1 - cell.prevalence) * (second_sp - first_sp),
        "sensitivity": second_se - first_se, "specificity": second_sp - first_sp,
    }  # fmt: skip
    tallies = {name: Tally() for name in true}
    for _ in range(draws):
        truth = rng.random(cell.n) < cell.prevalence
        shared = math.sqrt(cell.spread) * rng.normal(size=cell.n)
        scores = [shared + math.sqrt(1 - cell.spread) * rng.normal(size=cell.n) + shift * truth for shift in shifts]
        calls = [score > shift / 2 + 0.3 for score, shift in zip(scores, shifts, strict=True)]
        columns = (truth.astype(int), *scores, *calls)
        pairs = [Pair(str(n), *row) for n, row in enumerate(zip(*(of.tolist() for of in columns), strict=True))]
        for name, figure in paired_figures(pairs).items():
            tallies[name].add(figure.difference, true[name])
    return tallies


def _sample(cell: Cell, rng: np.random.Generator, draws: int) -> Tallies:
    """Each draw is an archive of its own, whose figures are the truth; more of those called abnormal are read."""
    shift = math.sqrt(2) * NORMAL.inv_cdf(cell.level)
    tallies = {name: Tally() for name in ("kappa", "sensitivity", "specificity")}
    for _ in range(draws):
        truth = rng.random(cell.n) < cell.prevalence
        called = rng.normal(size=cell.n) + shift * truth > shift / 2 + 0.3
        table = np.bincount(2 * truth + called, minlength=4).reshape(1, 4).astype(np.float64)
        estimate = corrected(_biased_draw(truth, called, rng, {**READ, True: cell.spread or READ[True]}))
        true = {
            "kappa": float(kappas(table)[0]),
            "sensitivity": called[truth].mean(),
            "specificity": (~called)[~truth].mean(),
        }
        for name, tally in tallies.items():
            tally.add(getattr(estimate, name), true[name])
    return tallies


def _biased_draw(
    truth: NDArray[np.bool_], called: NDArray[np.bool_], rng: np.random.Generator, shares: dict[bool, float]
) -> Draw:
    """shares: of the studies of each call that are read."""
    counts = {call: round(share * int((called == call).sum())) for call, share in shares.items()}
    read = np.concatenate([rng.choice(np.flatnonzero(called == call), n, replace=False) for call, n in counts.items()])
    probability = np.where(called, *(counts[call] / max(1, int((called == call).sum())) for call in (True, False)))
    return Draw(truth[read], called[read], probability[read], called[read].astype(np.intp))


SECTIONS: dict[str, Callable[[Cell, np.random.Generator, int], Tallies]] = {
    "kappa": _kappa, "auroc": _auroc, "rate": _rate, "patients": _patients, "paired": _paired,
    "sample": _sample,
}  # fmt: skip


def read(path: Path) -> dict[str, Tallies]:
    """Finished cells by their key; empty where there is no file, or it is of another seed."""
    if not path.exists():
        return {}
    values = json.loads(path.read_text())
    if (values["seed"], values["draws"]) != (SEED, DRAWS):
        return {}
    return {key: {name: Tally(**tally) for name, tally in of.items()} for key, of in values["cells"].items()}


def write(finished: dict[str, Tallies], path: Path) -> None:
    plain = {key: {name: asdict(tally) for name, tally in of.items()} for key, of in finished.items()}
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(of)}" for key, of in plain.items())
    path.write_text(f'{{"seed": {SEED}, "draws": {DRAWS}, "cells": {{\n{lines}\n}}}}\n')


def tables(finished: dict[str, Tallies]) -> str:
    """Coverage in per cent as Markdown, a table a section; a value outside 93.5 to 96.5 is bold."""
    return "\n\n".join(_table(section, finished) for section in SECTIONS) + "\n"


_HEADS = {
    "kappa": ("Kappa: studies", "abnormal", "", "true kappa"),
    "auroc": ("AUROC: studies", "abnormal", "deviation of abnormal scores", "true area"),
    "rate": ("Rate of the abnormal: studies", "abnormal", "", "true rate"),
    "patients": ("Patients, two studies each on average", "abnormal", "", ""),
    "paired": ("Two models: studies", "abnormal", "", ""),
    "sample": ("Sample of an archive: studies", "abnormal", "true area | of the abnormal calls read", ""),
}


def _table(section: str, finished: dict[str, Tallies]) -> str:
    rows: dict[tuple[float, ...], dict[str, Tally]] = {}
    of, share, spread, level = _HEADS[section]
    for cell in (cell for cell in cells() if cell.section == section and cell.key in finished):
        third = {"auroc": (cell.spread,), "sample": (cell.level, cell.spread or READ[True])}.get(section, ())
        row = rows.setdefault((cell.n, cell.prevalence, *third), {})
        for name, tally in finished[cell.key].items():
            row[f"{level} {cell.level:g}" if level else name] = tally
    columns = list(next(iter(rows.values()), {}))
    head = [of, share, *(spread.split(" | ") if spread else []), *columns]
    lines = [head, ["---"] * len(head)]
    lines += [[*(f"{part:g}" for part in key), *(_percent(row[name]) for name in columns)] for key, row in rows.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _percent(tally: Tally) -> str:
    text = f"{tally.coverage:.1f}"
    return text if 93.5 <= float(text) <= 96.5 else f"**{text}**"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.coverage", description=__doc__)
    parser.add_argument("--out", type=Path, default=JSON, help="JSON of the finished cells (docs/coverage.json)")
    path = parser.parse_args().out
    finished = read(path)
    for cell in cells():
        if cell.key not in finished:
            finished[cell.key] = simulate(cell)
            write(finished, path)
            shown = ", ".join(f"{name} {tally.coverage:.1f}" for name, tally in finished[cell.key].items())
            sys.stderr.write(f"{cell.key}: {shown}\n")
    sys.stdout.write(tables(finished))


if __name__ == "__main__":
    main()
