"""Nights before and after a change of settings, with the real command: what is kept, scored again, and left."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from datetime import datetime, time
from pathlib import Path

import pytest

from mura_batch.cli.options import next_time
from mura_batch.phantom import PhantomOptions, make_phantoms
from mura_batch.scoring.rescore import duration

Row = dict[str, str]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with studies, and the OUT of a night over all but one of them."""
    folder = tmp_path_factory.mktemp("nights")
    make_phantoms(folder / "studies", PhantomOptions(studies=3, small=True))
    late = folder / "studies" / "PA000002"
    shutil.move(late, folder / "late")
    assert score(folder).returncode == 3
    shutil.move(folder / "late", late)
    return folder


@pytest.fixture
def folder(first: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(first, tmp_path / "night", symlinks=True))


def score(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mura_batch", "score", "studies", "--out", "out", "--settle", "0", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def studies(folder: Path) -> dict[str, Row]:
    with (folder / "out" / "latest" / "studies.csv").open(newline="") as file:
        return {row["study_uid"]: row for row in csv.DictReader(file) if row["score"]}


def manifest(folder: Path) -> dict[str, object]:
    values: dict[str, object] = json.loads((folder / "out" / "latest" / "run.json").read_text())
    return values


def test_after_a_change_old_studies_keep_their_score_and_say_whose(folder: Path) -> None:
    before = studies(folder)
    done = score(folder, "--voi", "percentiles", "--truth", "studies/truth.csv")
    after = studies(folder)
    assert {uid: row["score"] for uid, row in after.items() if row["earlier_model"]} == {
        uid: row["score"] for uid, row in before.items()
    }
    (new,) = [row for row in after.values() if not row["earlier_model"]]
    assert new["status"] == "scored"
    kept = [row for row in after.values() if row["earlier_model"]]
    assert {row["model"] for row in kept} == {row["earlier_model"] for row in kept} != {new["model"]}
    assert manifest(folder)["earlier_model_rows"] == len(before) == 2
    agreement = json.loads((folder / "out" / "latest" / "agreement.json").read_text())
    assert agreement["counts"]["compared"] == 1  # no figure mixes two models
    assert "2 keep the score of an earlier model" in (folder / "out" / "latest" / "report.html").read_text()
    (line,) = [line for line in done.stderr.splitlines() if "--rescore all" in line]
    assert "2 studies (" in line
    assert "that takes about" in line
    assert "--rescore all" not in score(folder, "--voi", "percentiles").stderr  # once


def test_rescore_all_scores_them_again_and_says_so(folder: Path) -> None:
    done = score(folder, "--voi", "percentiles", "--rescore", "all")
    assert "2 studies (" in done.stderr
    assert "are scored again; that takes about" in done.stderr
    after = studies(folder)
    assert {(row["status"], row["earlier_model"]) for row in after.values()} <= {("scored", ""), ("partial", "")}
    assert len(after) == 3


def night_that_stops(folder: Path, studies: int) -> str:
    """Standard error of a night whose time is up when it has begun so many studies."""
    script = (
        "from mura_batch.scoring.rescore import Plan\n"
        "asked = []\n"
        f"Plan.is_time_up = lambda plan: (asked.append(0), len(asked) > {studies})[1]\n"
        "from mura_batch.cli import main\nmain()\n"
    )
    words = ["score", "studies", "--out", "out", "--settle", "0", "--voi", "percentiles", "--rescore", "all"]
    command = [sys.executable, "-c", script, *words, "--stop-after", "06:00"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_a_night_out_of_time_publishes_what_is_done_and_goes_on(folder: Path) -> None:
    before = studies(folder)
    assert "of 3 studies are left for the next run" in night_that_stops(folder, 0)
    found = studies(folder)
    assert found.keys() == before.keys()  # the third study has no score yet
    assert all(row["earlier_model"] for row in found.values())
    reasons = manifest(folder)["skipped_by_reason"]
    assert isinstance(reasons, dict)
    assert reasons["score/out_of_time"] >= 1
    assert "of 2 studies are left for the next run" in night_that_stops(folder, 1)
    assert sum(bool(row["earlier_model"]) for row in studies(folder).values()) == 2
    assert "left" not in night_that_stops(folder, 9)
    assert [row["earlier_model"] for row in studies(folder).values()] == [""] * 3


@pytest.mark.parametrize(
    ("now", "wanted"),
    [
        ("2026-03-01T02:30:00", "2026-03-01T06:00:00"),
        ("2026-03-01T06:00:00", "2026-03-02T06:00:00"),
        ("2026-03-01T23:59:59", "2026-03-02T06:00:00"),
    ],
)
def test_a_clock_time_is_the_next_of_its_kind(now: str, wanted: str) -> None:
    found = next_time(time(6, 0), datetime.fromisoformat(now))
    assert found.replace(tzinfo=None) == datetime.fromisoformat(wanted)
    assert found.utcoffset() is not None


def test_a_wrong_clock_time_is_a_usage_error(tmp_path: Path) -> None:
    done = score(tmp_path, "--stop-after", "25:00")
    assert done.returncode == 2
    assert "as in 06:00" in done.stderr


def test_durations_are_minutes_then_hours() -> None:
    assert [duration(s) for s in (1, 100, 3599, 7800)] == ["1 min", "2 min", "1 h 0 min", "2 h 10 min"]
