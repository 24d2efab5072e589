"""`mura-batch sample`: from a run's tables to a sheet, and back through `report --truth`."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from record_builders import FULL

from mura_batch.agreement.partial import studies_needed
from mura_batch.agreement.truth_csv import read_truth
from mura_batch.cli import cli
from mura_batch.errors import InputError
from mura_batch.outputs.csv_tables import write_csv
from mura_batch.outputs.manifest import RunManifest
from mura_batch.outputs.reading_sheet import Wanted, write_sample
from mura_batch.outputs.tables import TABLES, study_values
from mura_batch.records import MURA_REGIONS, Laterality, StudyScore, StudyStatus

MakeOut = Callable[..., Path]


@pytest.fixture
def make_out(tmp_path: Path) -> MakeOut:
    """An output folder whose latest run has n scored studies, a share of them abnormal, and one without a score."""

    def make(n: int, share: float = 0.3, identifiers: str = "accession") -> Path:
        scores = np.random.default_rng(1).uniform(0, 1, n) * np.where(np.arange(n) < share * n, 0.5, -0.5) + 0.5
        rows = [_study(i, None if i == n else float(np.append(scores, 0)[i])) for i in range(n + 1)]
        run = tmp_path / "out" / "runs" / "2026-01-01"
        run.mkdir(parents=True)
        (tmp_path / "out" / "latest").symlink_to(Path("runs") / "2026-01-01")
        write_csv(run / "studies.csv", tuple(TABLES["studies"]), [study_values(row, "m", FULL) for row in rows])
        manifest = dict.fromkeys(field.name for field in fields(RunManifest)) | {"identifiers": identifiers}
        (run / "run.json").write_text(json.dumps(manifest))
        return tmp_path / "out"

    return make


def _study(n: int, score: float | None) -> StudyScore:
    return StudyScore(
        study_uid=f"1.2.{n}", accession=f"A{n}", patient_key=f"p{n}", study_date="20260101",
        region=MURA_REGIONS[n % 7], laterality=Laterality("L"), instances=1, scored=int(score is not None), score=score,
        abnormal=None if score is None else score > 0.5, threshold=0.5,
        status=StudyStatus.FAILED if score is None else StudyStatus.SCORED,
    )  # fmt: skip


def _sample(out: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["sample", "--out", str(out), *words])


def test_the_command_draws_what_is_needed_and_says_so(make_out: MakeOut) -> None:
    done = _sample(make_out(1000), "--for-kappa-width", "0.2", "--strata", "region,score")
    assert done.exit_code == 0, done.output
    assert "290 are needed" in done.stderr  # Donner & Rotondi 2010: kappa .7, 30 % abnormal
    sheet = Path(done.stdout.strip())
    with sheet.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert 290 <= len(rows) <= 290 + 2 * 28
    assert len({row["study_uid"] for row in rows}) == len(rows)
    assert {row["label"] for row in rows} == {""}
    assert "score" not in sheet.read_text()
    assert sheet.stat().st_mode & 0o077 == 0
    meaning = json.loads((sheet.parent / "sample.json").read_text())
    assert set(meaning["strata"]) == {row["sampling_stratum"] for row in rows}
    assert sum(part["studies"] for part in meaning["strata"].values()) == 1000


def test_a_filled_sheet_is_a_truth_of_the_whole_run(make_out: MakeOut) -> None:
    sheet = write_sample(make_out(800), Wanted(0.3, 0.7, ("score",), seed=2)).sheet
    lines = sheet.read_text().splitlines()
    filled = [lines[0], *(line.replace(",,", f",{n % 2},", 1) for n, line in enumerate(lines[1:]))]
    sheet.write_text("\n".join(filled) + "\n")
    truth = read_truth(sheet)
    assert sum(line.has_label for line in truth.lines) == len(lines) - 1
    probability = dict(truth.drawn)
    assert sum(1 / probability[line.sampled.stratum] for line in truth.lines if line.sampled) == pytest.approx(800)


def test_strata_without_names_are_one(make_out: MakeOut) -> None:
    sheet = write_sample(make_out(600), Wanted(0.3, 0.7, (), seed=0)).sheet
    assert set(json.loads((sheet.parent / "sample.json").read_text())["strata"]) == {
        f"1: {studies_needed(0.7, 0.3, 0.3)} of 600"
    }


@pytest.mark.parametrize(
    ("n", "share", "wanted", "message"),
    [
        (100, 0.3, Wanted(0.2, 0.7, (), 0), "290 studies are needed .* has 100 scored ones"),
        (100, 0.0, Wanted(0.2, 0.7, (), 0), "kappa needs both classes"),
        (100, 0.3, Wanted(0.2, 0.7, ("hospital",), 0), "--strata hospital: strata are region and score"),
        (100, 0.3, Wanted(2.0, 0.7, (), 0), "--for-kappa-width"),
    ],
)
def test_what_cannot_be_drawn_is_an_error(
    make_out: MakeOut, n: int, share: float, wanted: Wanted, message: str
) -> None:
    out = make_out(n, share)
    with pytest.raises(InputError, match=message) as error:
        write_sample(out, wanted)
    assert "\n" not in str(error.value)
    assert not (out / "samples").exists()


def test_an_output_folder_without_a_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run `mura-batch score` first"):
        write_sample(tmp_path, Wanted(0.2, 0.7, (), 0))
