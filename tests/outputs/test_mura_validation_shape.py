"""The acceptance of the agreement section: 1,199 studies shaped like MURA's validation set, with three readers; every
figure is computed anew from the run's tables by a script that imports nothing of the program."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from run_folders import Scored, scored_row, write_drawn_run

from mura_batch.cli import cli
from mura_batch.records import Laterality, Region, Sex

SCRIPT = Path(__file__).parents[1] / "support" / "recompute_agreement.py"
# Rajpurkar et al., arXiv 1712.06957: normal and abnormal studies, normal and abnormal images, of the validation set.
MURA = {
    Region.ELBOW: (92, 66, 235, 230), Region.FINGER: (92, 83, 214, 247), Region.FOREARM: (69, 64, 150, 151),
    Region.HAND: (101, 66, 271, 189), Region.HUMERUS: (68, 67, 148, 140), Region.SHOULDER: (99, 95, 285, 278),
    Region.WRIST: (140, 97, 364, 295),
}  # fmt: skip
PATIENTS = 783
QUADRATURE = 5e-5  # to which both computations of the limits of kappa are exact
READERS = ("reader_1", "reader_2", "reader_3")
DEVICES = (("Aperture", "Aperture X1"), ("Calyx", "C 20"), ("", ""))


def drawn_studies(rng: np.random.Generator) -> list[tuple[Scored, int]]:
    """Rows with their labels."""
    found = []
    for region, (*studies, normal_images, abnormal_images) in MURA.items():
        for label, images in enumerate((normal_images, abnormal_images)):
            for n in range(studies[label]):
                count = images // studies[label] + (n < images % studies[label])
                found.append((drawn_study(rng, len(found), region, label, count), label))
    return found


def drawn_study(rng: np.random.Generator, n: int, region: Region, label: int, images: int) -> Scored:
    scores = 1 / (1 + np.exp(-(1.6 * (2 * label - 1) + rng.normal() + 0.5 * rng.normal(size=images))))
    patient = f"patient {n % PATIENTS}"
    row, of = scored_row(
        f"1.2.{n}", [float(score) for score in scores], region, (Laterality.LEFT, Laterality.RIGHT)[n % 2],
        patient=patient, study_date=("20260115", "20260211")[n % 3 == 0],
    )  # fmt: skip
    maker, model = DEVICES[n % PATIENTS % 3]
    traits = {"sex": (Sex.FEMALE, Sex.MALE)[n % PATIENTS % 2], "age": n % PATIENTS % 90, "manufacturer": maker}
    return row, [
        replace(
            image,
            decoded=replace(
                image.decoded,
                instance=replace(
                    image.instance, **traits, manufacturer_model=model, view_position=("PA", "LL", "")[k % 3]
                ),
            ),
        )
        for k, image in enumerate(of)
    ]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path], float]:
    """The run's folder with its report, the readers' files, and the seconds that the report took."""
    folder = tmp_path_factory.mktemp("mura")
    rng = np.random.default_rng(17)
    studies = drawn_studies(rng)
    run = write_drawn_run(folder / "out", datetime(2026, 2, 12), [scored for scored, _ in studies])
    files = []
    for name in READERS:
        path = folder / f"{name}.csv"
        said = [str(label ^ int(rng.random() < 0.12)) if rng.random() > 0.02 else "pending" for _, label in studies]
        lines = [f"{row.study_uid},{label}" for ((row, _), _), label in zip(studies, said, strict=True)]
        path.write_text("\n".join(["study_uid,label", *lines, "9.9,1"]) + "\n")
        invoke("truth", "add", path, "--reader", name, "--out", folder / "out")
        files.append(path)
    started = time.process_time()
    invoke("report", run)
    return run, files, time.process_time() - started


@pytest.fixture(scope="module")
def recomputed(rendered: tuple[Path, list[Path], float]) -> dict[str, dict[str, list[float | None]]]:
    run, files, _ = rendered
    command = [sys.executable, "-I", str(SCRIPT), str(run), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", env={})
    assert done.returncode == 0, done.stderr
    figures: dict[str, dict[str, list[float | None]]] = json.loads(done.stdout)
    return figures


def invoke(*words: object) -> None:
    done = CliRunner().invoke(cli, list(map(str, words)), standalone_mode=False)
    if done.exception is not None:
        raise done.exception


def values(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "agreement.json").read_text(encoding="utf-8"))
    return found


def test_the_run_has_the_shape_of_the_validation_set(rendered: tuple[Path, list[Path], float]) -> None:
    with (rendered[0] / "studies.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (rendered[0] / "images.csv").open(newline="") as file:
        assert sum(1 for _ in csv.DictReader(file)) == 3197
    assert (len(rows), len({row["patient_key"] for row in rows})) == (1199, PATIENTS)


def test_every_figure_is_the_one_computed_anew(
    rendered: tuple[Path, list[Path], float], recomputed: dict[str, dict[str, list[float | None]]]
) -> None:
    figures = values(rendered[0])["figures"]
    assert {group: set(of) for group, of in figures.items()} == {group: set(of) for group, of in recomputed.items()}
    assert len(figures) > 15
    for group, of in figures.items():
        for name, figure in of.items():
            *expected, n = recomputed[group][name]
            assert figure["n"] == n, (group, name)
            for part, number in zip(("value", "low", "high"), expected, strict=True):
                exact = QUADRATURE if "kappa" in name and part != "value" else 1e-6
                assert figure[part] == (None if number is None else pytest.approx(number, abs=exact)), (
                    group,
                    name,
                    part,
                )


def test_every_estimate_on_the_page_is_one_of_them(
    rendered: tuple[Path, list[Path], float], recomputed: dict[str, dict[str, list[float | None]]]
) -> None:
    page = (rendered[0] / "report.html").read_text(encoding="utf-8")
    section = page[page.index('<section id="agreement"') :]
    section = section[: section.index("</section>")]
    shown = re.findall(r'class="value">([^<]*)<', section)
    known = {text for of in recomputed.values() for figure in of.values() for text in all_words(figure)}
    assert len(shown) > 30
    assert [text for text in shown if text not in known] == []


def all_words(figure: list[float | None]) -> set[str]:
    """More than one where a limit lies between two roundings, nearer than both computations are exact."""
    value, low, high, n = figure
    if low is None or high is None:
        return {words(figure)}
    off = (-QUADRATURE, QUADRATURE)
    return {words([value, low + a, high + b, n]) for a, b in product(off, off)}


def words(figure: list[float | None]) -> str:
    """As the page has it."""
    value, low, high, _ = figure
    if value is None:
        return "undefined"
    numbers = [f"{x:.3f}".replace("-", "−") for x in (value, low, high) if x is not None]
    return f"{numbers[0]} [{numbers[1]}, {numbers[2]}]" if len(numbers) == 3 else numbers[0]


def test_labels_and_cells_are_counted_as_in_the_files(rendered: tuple[Path, list[Path], float]) -> None:
    run, files, _ = rendered
    found, said = values(run), [table(path) for path in files]
    with (run / "studies.csv").open(newline="") as file:
        calls = {row["study_uid"]: int(row["abnormal"]) for row in csv.DictReader(file)}
    votes = {uid: [int(of[uid]) for of in said if of[uid] != "pending"] for uid in calls}
    truth = {uid: 2 * sum(of) > len(of) for uid, of in votes.items() if of and 2 * sum(of) != len(of)}
    counts = found["counts"]
    assert counts["compared"] == counts["by_majority"] == len(truth)
    page = " ".join((run / "report.html").read_text(encoding="utf-8").split())
    assert f"0 labels are of a consensus, {len(truth):,} are the majority of readers" in page
    assert counts["lines"] == 3 * 1200
    assert counts["not_in_this_run"] == 3
    assert counts["without_majority"] == len([of for of in votes.values() if of]) - len(truth)
    cells = found["confusion"]["overall"]
    names = {(False, 0): "true_negative", (False, 1): "false_positive", (True, 0): "false_negative"}
    for (label, call), name in {**names, (True, 1): "true_positive"}.items():
        assert cells[name] == sum(truth[uid] is label and calls[uid] == call for uid in truth)


def table(path: Path) -> dict[str, str]:
    with path.open(newline="") as file:
        return {row["study_uid"]: row["label"] for row in csv.DictReader(file)}


def test_the_report_takes_a_few_seconds(rendered: tuple[Path, list[Path], float]) -> None:
    """Of processor time, which other programs do not stretch."""
    assert rendered[2] < 20
