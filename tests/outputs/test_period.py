"""`mura-batch report OUT --since --until`: one report over many runs, each study with its last score."""

from __future__ import annotations

import csv
import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from run_folders import DrawnModel, scored_row, write_drawn_run

from mura_batch.cli import cli
from mura_batch.errors import InputError, TruthError
from mura_batch.records import StudyStatus

SECOND = DrawnModel(name="second", sha256="b" * 64, threshold=0.4)
KEPT = "drawn 1 (model aaaaaaaaaa, settings 0123456789abcdef)"
OLD, LABELS = StudyStatus.UNCHANGED, {"1": 1, "2": 0, "3": 1, "4": 0, "5": 1}


def run(*words: object) -> str:
    done = CliRunner().invoke(cli, list(map(str, words)), standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.stdout.strip()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Three nights: study 2 gets a second score by another model, study 4 fails later on, study 9 is of before."""
    out = tmp_path / "out"
    write_drawn_run(out, datetime(2026, 1, 31, 2), [scored_row("9", [0.9])])
    write_drawn_run(out, datetime(2026, 2, 1, 2), [scored_row(n, [0.2, 0.3]) for n in ("1", "2", "4")])
    write_drawn_run(
        out,
        datetime(2026, 2, 2, 2),
        [
            scored_row("1", [0.2, 0.3], status=OLD, earlier_model=KEPT), scored_row("2", [0.45], model=SECOND),
            scored_row("3", [0.8], model=SECOND), scored_row("4", []),
        ],
        SECOND,
    )  # fmt: skip
    write_drawn_run(out, datetime(2026, 2, 3, 2), [scored_row("5", [0.7], model=SECOND)], SECOND)
    return out


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    path = tmp_path / "truth.csv"
    path.write_text("study_uid,label\n" + "".join(f"{uid},{label}\n" for uid, label in LABELS.items()))
    return path


def rows(folder: Path, table: str) -> list[dict[str, str]]:
    with (folder / f"{table}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def values(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    return found


def test_each_study_stands_once_with_its_last_score(out: Path) -> None:
    folder = Path(run("report", out, "--since", "2026-02-01", "--until", "2026-02-28")).parent
    assert folder == out / "reports/2026-02-01_2026-02-28"
    found = {row["study_uid"]: (row["score"], row["model"], row["status"]) for row in rows(folder, "studies")}
    assert found == {
        "1": ("0.25", "drawn", "scored"),  # the later run kept this score
        "2": ("0.45", "second", "scored"),
        "3": ("0.8", "second", "scored"),
        "4": ("0.25", "drawn", "scored"),  # its later failure has no score
        "5": ("0.7", "second", "scored"),
    }
    assert len(rows(folder, "images")) == 2 + 1 + 1 + 2 + 1
    assert {image["row_key"] for image in rows(folder, "images")} == {r["row_key"] for r in rows(folder, "studies")}


def test_every_model_is_said_and_has_figures_of_its_own(out: Path, truth: Path) -> None:
    run("truth", "add", truth, "--out", out)
    folder = Path(run("report", out, "--since", "2026-02-01", "--until", "2026-02-28")).parent
    period = values(folder, "run.json")["period"]
    assert len(period["runs"]) == 3
    assert [(m["name"], m["threshold"], m["study_rows"], m["hash"][:1]) for m in period["models"]] == [
        ("second", 0.4, 3, "b"),
        ("drawn", 0.5, 2, "a"),
    ]
    agreement = values(folder, "agreement.json")
    assert agreement["counts"]["compared"] == 5
    assert agreement["figures"]["second, threshold 0.4"]["accuracy"]["n"] == 3
    assert agreement["figures"]["drawn, threshold 0.5"]["accuracy"]["n"] == 2
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<h1>Radiograph scores, <span>2026-02-01</span> to <span>2026-02-03</span></h1>" in page
    assert "Studies of 3 runs, each with its last score" in page
    assert "Scores of several models stand side by side" in page
    assert "drawn 1, threshold 0.5: 2 study rows" in page
    assert '<th scope="row">second, threshold 0.4</th><td class="n">3</td>' in page


def test_a_period_of_one_model_has_no_warning(out: Path) -> None:
    folder = Path(run("report", out, "--since", "2026-02-03")).parent
    assert folder.name == "2026-02-03_2026-02-03"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Scores of several models" not in page
    assert [row["study_uid"] for row in rows(folder, "studies")] == ["5"]


def test_a_score_kept_from_before_the_period_counts_under_its_model(out: Path, truth: Path) -> None:
    words = ("report", out, "--since", "2026-02-02", "--until", "2026-02-02", "--truth", truth)
    folder = Path(run(*words)).parent
    (kept,) = [row for row in rows(folder, "studies") if row["study_uid"] == "1"]
    assert (kept["model"], kept["earlier_model"], kept["score"]) == (KEPT, "", "0.25")
    agreement = values(folder, "agreement.json")
    assert agreement["counts"]["compared"] == 3
    assert agreement["figures"][f"{KEPT}, threshold 0.5"]["accuracy"]["n"] == 1


def test_a_given_truth_is_recorded_and_rendering_again_gives_the_same(out: Path, truth: Path) -> None:
    words = ("report", out, "--until", "2026-02-02", "--truth", truth)
    folder = Path(run(*words)).parent
    assert folder.name == "2026-01-31_2026-02-02"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert [one["file"] for one in values(folder, "agreement.json")["truth"]] == [str(truth)]
    run(*words)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    run("report", folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in (out / "reports").iterdir()] == [folder.name]
    assert not any(path.stat().st_mode & 0o077 for path in (folder, *folder.iterdir()))


def test_counts_of_the_folder_add_up(out: Path) -> None:
    folder = Path(run("report", out, "--until", "2026-12-31")).parent
    counts = values(folder, "run.json")["counts"]
    assert counts == {"found": 8, "scored": 8, "unchanged": 0, "skipped": 0}
    assert values(folder, "run.json")["studies_by_status"] == {"scored": 6}


def test_a_table_that_is_the_same_file_is_read_once(out: Path) -> None:
    night = write_drawn_run(out, datetime(2026, 2, 4, 2), [])
    for name in ("studies.csv", "images.csv"):  # a night without news: hard links to the night before
        (night / name).unlink()
        os.link(sorted((out / "runs").iterdir())[-2] / name, night / name)
    folder = Path(run("report", out, "--since", "2026-02-03")).parent
    assert [row["study_uid"] for row in rows(folder, "studies")] == ["5"]


def test_what_cannot_be_reported_says_why(out: Path, truth: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no run that began from 2027-01-01 to the last run"):
        run("report", out, "--since", "2027-01-01")
    truth.write_text("study_uid,label\n9.9,1\n")
    with pytest.raises(TruthError, match="names no study"):
        run("report", out, "--since", "2026-02-01", "--truth", truth)
    assert not list((out / "reports").iterdir())
    with pytest.raises(InputError, match="has no run"):
        run("report", tmp_path, "--since", "2026-02-01")
