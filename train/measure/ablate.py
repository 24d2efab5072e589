"""`ablate`: what each choice of a recipe is worth, on data that nothing else is chosen or reported on.

The recipe is trained as it is and once more with each choice taken back, each time from the same seed, on a part of the
training split. A share of the training groups is held out and scored; val is never looked at. Each variant is a run of
`fit` in a folder of its own: the same command again goes on where it was stopped, and runs that other processes have
finished are only scored.
"""

from __future__ import annotations

import csv
import io
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mura_batch.agreement.curves import roc_auc_difference, roc_auc_score
from mura_batch.agreement.estimate import Estimate
from mura_batch.atomic_files import make_folder, write_atomic
from mura_batch.errors import InputError
from train.data.examples import VAL
from train.data.folds import hold_out
from train.data.input_cache import model_inputs
from train.fit.job import Job
from train.fit.loop import fit
from train.fit.recipe import Recipe, changed, recipe_from
from train.measure.predictor import open_predictor


@dataclass(frozen=True, slots=True)
class Ablation:
    """A TOML of train/ablations. held_out: share of the training groups that is scored. variants: (what was changed,
    recipe), the unchanged one first."""

    held_out: float
    variants: tuple[tuple[str, Recipe], ...]


@dataclass(frozen=True, slots=True)
class Worth:
    """One variant on the held-out pictures. difference: of its AUROC to the unchanged recipe's, paired; None for the
    unchanged one itself."""

    name: str
    auroc: Estimate
    difference: Estimate | None


def read_ablation(path: Path, changes: Mapping[str, Any] | None = None) -> Ablation:
    """changes: of the recipe of all variants, as in `changed`. Raises InputError that names the file and the key."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        held_out, recipe = float(values["held_out"]), changed(values["recipe"], changes or {})
        variants = [("as it is", recipe_from({"name": path.stem, **recipe}, str(path)))]
        for variant in values["variant"]:
            values = {"name": path.stem, **changed(recipe, variant["change"])}
            variants.append((variant["name"], recipe_from(values, str(path))))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"ablation {path} cannot be read: {error!r}") from error
    if not 0 < held_out < 1:
        raise InputError(f"ablation {path}: held_out is {held_out}, not between 0 and 1")
    return Ablation(held_out, tuple(variants))


def ablate(ablation: Ablation, job: Job) -> Iterator[Worth]:
    """Worths as they are known, the unchanged recipe's first; OUT/ablation.csv and OUT/ablation.json hold those so far.
    job: its recipe is not used."""
    truth = np.array([e.abnormal for e in hold_out(job.dataset, ablation.held_out).split(VAL)])
    worths: list[Worth] = []
    base: NDArray[np.float64] | None = None
    for number, (name, _) in enumerate(ablation.variants):
        scores = _scores(variant_job(ablation, job, number))
        difference = None if base is None else roc_auc_difference(truth, scores, base)
        base = scores if base is None else base
        worths.append(Worth(name, roc_auc_score(truth, scores), difference))
        _write(worths, job.out)
        yield worths[-1]


def variant_job(ablation: Ablation, job: Job, number: int) -> Job:
    """The run of one variant, 0 is the unchanged one. Raises InputError where there is no such variant."""
    if not 0 <= number < len(ablation.variants):
        raise InputError(
            f"there is no variant {number}: they are 0 to {len(ablation.variants) - 1}, in the TOML's order"
        )
    recipe = ablation.variants[number][1]
    return replace(
        job,
        recipe=recipe,
        dataset=hold_out(job.dataset, ablation.held_out),
        out=job.out / f"variant-{number}",
        teacher=job.teacher if recipe.distil.asks else (),
    )


def _scores(job: Job) -> NDArray[np.float64]:
    predictor = open_predictor([fit(job)])
    return predictor.run(model_inputs(job.dataset, VAL, predictor.input, job.cache))[0]


def _write(worths: Sequence[Worth], out: Path) -> None:
    rows = [_row(worth) for worth in worths]
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    make_folder(out)
    for name, text in (("ablation.json", json.dumps(rows, indent=1) + "\n"), ("ablation.csv", table.getvalue())):
        write_atomic(out / name, text.encode())


def _row(worth: Worth) -> dict[str, str | float]:
    row: dict[str, str | float] = {"variant": worth.name, "n": worth.auroc.n}
    for name, estimate in (("auroc", worth.auroc), ("difference", worth.difference)):
        for part in ("value", "low", "high"):
            row[f"{name}_{part}"] = round(getattr(estimate, part), 4) if estimate is not None else ""
    return row
