"""`mura-batch score`, end to end: the real command in a subprocess, on studies that `mura-batch phantom` wrote."""

from __future__ import annotations

import csv
import json
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

Row = dict[str, str]


def mura_batch(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mura_batch", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, **environment},
        check=False,
    )


def rows(path: Path) -> list[Row]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def manifest(out: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((out / "latest" / "run.json").read_text())
    return values


@pytest.fixture(scope="session")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight small studies and the mess of an export."""
    folder = tmp_path_factory.mktemp("phantom") / "studies"
    made = mura_batch("phantom", folder, "--studies", 8, "--seed", 3, "--small")
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="session")
def scored(studies: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """OUT of one run over them, with truth."""
    out = tmp_path_factory.mktemp("scored") / "out"
    done = mura_batch("score", studies, "--out", out, "--truth", studies / "truth.csv", "--settle", 0)
    return out, done


def test_a_mixed_export_is_scored_and_its_broken_file_reported(
    scored: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    out, done = scored
    assert done.returncode == 3, done.stderr  # the phantom export holds a truncated file
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert {p.name for p in (out / "latest").iterdir()} >= {
        "studies.csv", "images.csv", "skipped.csv", "run.json", "report.html",
    }  # fmt: skip


def test_every_file_and_every_study_is_accounted_for(
    studies: Path, scored: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    latest = scored[0] / "latest"
    files = [p for p in studies.rglob("*") if p.is_file()]
    images, skipped = rows(latest / "images.csv"), rows(latest / "skipped.csv")
    accounted = Counter(row["file"] for row in images + skipped)
    assert accounted == Counter(str(p.relative_to(studies)) for p in files)
    assert all(row["stage"] and row["reason"] and row["detail"] for row in skipped)


def test_every_upper_limb_study_has_its_correct_mean_score(
    studies: Path, scored: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    latest = scored[0] / "latest"
    by_study: dict[str, list[float]] = {}
    for row in rows(latest / "images.csv"):
        by_study.setdefault(row["study_uid"], []).append(float(row["probability"]))
    truth = {row["study_uid"] for row in rows(studies / "truth.csv")}
    studies_csv = rows(latest / "studies.csv")
    assert {row["study_uid"] for row in studies_csv if row["score"]} == truth
    for row in studies_csv:
        if row["score"]:
            values = by_study[row["study_uid"]]
            assert float(row["score"]) == pytest.approx(sum(values) / len(values), abs=1e-6)
            assert row["abnormal"] == str(int(float(row["score"]) > float(row["threshold"])))


def test_where_the_time_went_is_reported(studies: Path, tmp_path: Path) -> None:
    done = mura_batch("score", studies, "--out", tmp_path / "out", "--settle", 0, "--workers", 1, "--timings")
    seconds = manifest(tmp_path / "out")["seconds"]
    assert seconds.keys() == {"headers", "store", "decode", "inference", "tables"}
    took = {part: seconds[part]["busy"] + seconds[part]["waiting"] for part in ("store", "decode", "inference")}
    assert took["store"] == pytest.approx(took["decode"], abs=0.01) == pytest.approx(took["inference"], abs=0.01)
    assert all(seconds[part]["busy"] > 0 for part in seconds)
    for part, times in seconds.items():
        (line,) = [line for line in done.stderr.splitlines() if line.startswith(f"{part} ")]
        assert list(map(float, line.split()[1:])) == pytest.approx([times["busy"], times["waiting"]], abs=0.01)


def test_results_are_readable_by_their_owner_only(scored: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    for path in (scored[0] / "latest").resolve().iterdir():
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


def test_nothing_new_is_silent_and_exits_0(
    studies: Path, scored: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(scored[0], out, symlinks=True)
    before = rows(out / "latest" / "studies.csv")
    again = mura_batch("score", studies, "--out", out, "--settle", 0)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    after = rows(out / "latest" / "studies.csv")
    assert [row["score"] for row in after] == [row["score"] for row in before]
    # A study of which a radiograph could not be read stays partial, night after night.
    expected = ["partial" if row["status"] == "partial" else "unchanged" for row in before if row["score"]]
    assert [row["status"] for row in after if row["score"]] == expected
    runs = sorted((out / "runs").iterdir())
    assert len(runs) == 2
    shown = [(run / "report.html").read_text().count("data:image/jpeg") for run in runs]
    assert shown[0] >= shown[1] > 0  # the first one has a truth, and shows its mistakes once more


def test_a_killed_run_goes_on_where_it_was(studies: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "mura_batch", "score", studies, "--out", out, "--settle", "0", "--batch-size", "1"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as child:
        _wait_for_scores(out / "ledger.sqlite", child)
        child.send_signal(signal.SIGKILL)
    kept = _count_scores(out / "ledger.sqlite")
    assert kept >= 1
    assert not (out / "latest").exists()
    done = mura_batch("score", studies, "--out", out, "--settle", 0)
    assert done.returncode == 3, done.stderr
    images = rows(out / "latest" / "images.csv")
    assert manifest(out)["seconds"]["decode"]["busy"] > 0
    assert len(images) > kept
    assert {row["reused"] for row in images} == {"0"}  # no published run had reported them
    assert len(list((out / "runs").iterdir())) == 1
    assert (out / "latest" / "report.html").read_text().count("data:image/jpeg") == len(images)


def test_studies_that_are_gone_are_counted_and_listed(
    studies: Path, scored: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Most top folders of an export were not mounted tonight."""
    mounted, out = tmp_path / "studies", tmp_path / "out"
    shutil.copytree(studies, mounted)
    assert mura_batch("score", mounted, "--out", out, "--settle", 0).returncode == 3
    assert manifest(out)["missing"] == 0
    assert rows(out / "latest" / "missing.csv") == []
    before = {row["study_uid"] for row in rows(out / "latest" / "studies.csv")}
    for folder in sorted(path for path in mounted.iterdir() if path.is_dir())[1:]:
        shutil.rmtree(folder)
    assert mura_batch("score", mounted, "--out", out, "--settle", 0).returncode in {0, 3}
    after = {row["study_uid"] for row in rows(out / "latest" / "studies.csv")}
    missing = rows(out / "latest" / "missing.csv")
    assert {row["study_uid"] for row in missing} == before - after
    assert len(missing) == manifest(out)["missing"] > 0
    counts = manifest(out)["counts"]
    assert counts["found"] == counts["scored"] + counts["unchanged"] + counts["skipped"]


def test_removing_a_run_folder_changes_no_later_run(
    studies: Path, scored: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(scored[0], out, symlinks=True)
    shown = (out / "latest" / "report.html").read_text().count("data:image/jpeg")
    shutil.rmtree(out / "runs")
    again = mura_batch("score", studies, "--out", out, "--settle", 0)
    assert (again.returncode, again.stderr) == (0, "")
    assert manifest(out)["counts"]["scored"] == 0
    assert (out / "latest" / "report.html").read_text().count("data:image/jpeg") <= shown
    assert "data:image/jpeg" in (out / "latest" / "report.html").read_text()


def test_ctrl_c_keeps_what_was_scored_and_exits_130(studies: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "mura_batch", "score", studies, "--out", out, "--settle", "0", "--batch-size", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        _wait_for_scores(out / "ledger.sqlite", child)
        child.send_signal(signal.SIGINT)
        _, stderr = child.communicate(timeout=60)
    assert child.returncode == 130, stderr
    assert "goes on from there" in stderr
    assert "Traceback" not in stderr
    assert _count_scores(out / "ledger.sqlite") >= 1


def _count_scores(ledger: Path) -> int:
    import sqlite3
    from contextlib import closing

    if not ledger.exists():
        return 0
    with closing(sqlite3.connect(ledger)) as db:
        try:
            return int(db.execute("SELECT count(*) FROM scores").fetchone()[0])
        except sqlite3.OperationalError:
            return 0  # the tables are not made yet


def _wait_for_scores(ledger: Path, child: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + 120
    while _count_scores(ledger) == 0:
        assert child.poll() is None, "the run ended before it could be disturbed"
        assert time.monotonic() < deadline, "no score within two minutes"
        time.sleep(0.01)


def test_two_runs_at_once_are_refused(studies: Path, tmp_path: Path) -> None:
    from mura_batch.store.lock import locked

    with locked(tmp_path / "out"):
        done = mura_batch("score", studies, "--out", tmp_path / "out")
    assert done.returncode == 11
    assert "another run" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["{tmp}/nowhere"], 2, "is not there"),
        (["{tmp}/empty"], 2, "no files under"),
        (["{studies}", "--model", "{tmp}/empty"], 1, "is not a model folder"),
        (["{studies}", "--truth", "{tmp}/other.csv"], 2, "label 'maybe'"),
        (["{studies}", "--regions", "knee"], 2, "knee"),
        (["{studies}", "--config", "{tmp}/wrong.toml"], 2, "colour"),
        (["{studies}", "--out", "{studies}/out"], 2, "inside"),
    ],
)
def test_a_mistake_gets_one_clear_line_and_leaves_nothing(
    studies: Path, tmp_path: Path, words: list[str], code: int, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other.csv").write_text("study_uid,label\n9.9.9,maybe\n")
    (tmp_path / "wrong.toml").write_text('colour = "blue"\n')
    out = tmp_path / "out"
    filled = [word.format(tmp=tmp_path, studies=studies) for word in words]
    done = mura_batch("score", *filled, *([] if "--out" in words else ["--out", out]), "--settle", 0)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert not (out / "latest").exists()
    assert not (out / "runs").exists() or not any((out / "runs").iterdir())


def test_a_model_file_that_changed_is_refused(studies: Path, tmp_path: Path) -> None:
    from mura_batch.resources import engines_folder

    shutil.copytree(engines_folder() / "reference", tmp_path / "model")
    with (tmp_path / "model" / "model.onnx").open("r+b") as file:
        file.seek(5000)
        file.write(b"\0\1\2\3")
    done = mura_batch("score", studies, "--model", tmp_path / "model", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "is not the file its card describes" in done.stderr


def test_options_come_from_the_environment_and_the_config_file(studies: Path, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('regions = ["hand"]\njson = true\nsettle = 0\nout = "elsewhere"\n')
    done = mura_batch(
        "score", studies, MURA_BATCH_CONFIG=str(tmp_path / "c.toml"), MURA_BATCH_OUT=str(tmp_path / "out")
    )
    assert done.returncode in {0, 3}, done.stderr
    assert json.loads(done.stdout) == manifest(tmp_path / "out")
    assert manifest(tmp_path / "out")["options"]["regions"] == "hand"
    assert {row["region"] for row in rows(tmp_path / "out" / "latest" / "images.csv")} == {"hand"}


def test_strict_ends_at_the_first_unreadable_input(studies: Path, tmp_path: Path) -> None:
    done = mura_batch("score", studies, "--out", tmp_path / "out", "--settle", 0, "--strict")
    assert done.returncode == 1
    assert "--strict" in done.stderr


def test_worker_count_and_batch_size_change_no_score(
    studies: Path, scored: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = mura_batch("score", studies, "--out", tmp_path / "out", "--settle", 0, "--workers", 1, "--batch-size", 3)
    assert done.returncode == 3, done.stderr
    one = {r["sop_instance_uid"]: r["probability"] for r in rows(scored[0] / "latest" / "images.csv")}
    other = {r["sop_instance_uid"]: r["probability"] for r in rows(tmp_path / "out" / "latest" / "images.csv")}
    assert one == other


def test_names_depth_and_order_of_files_change_no_score(
    studies: Path, scored: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    files = sorted((p for p in studies.rglob("*") if p.is_file()), key=lambda p: p.name[::-1])
    for n, path in enumerate(files):
        folder = tmp_path / "flat" / ("deep/" * (n % 3))
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, folder / f"{len(files) - n:03}.{'dcm' if n % 2 else 'bin'}")
    done = mura_batch("score", tmp_path / "flat", "--out", tmp_path / "out", "--settle", 0)
    assert done.returncode == 3, done.stderr
    one = {r["sop_instance_uid"]: r["probability"] for r in rows(scored[0] / "latest" / "images.csv")}
    other = {r["sop_instance_uid"]: r["probability"] for r in rows(tmp_path / "out" / "latest" / "images.csv")}
    assert one == other


def test_a_past_run_renders_with_its_truth_or_another(
    studies: Path, scored: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    shutil.copytree((scored[0] / "latest").resolve(), tmp_path / "run")
    (tmp_path / "other.csv").write_text((studies / "truth.csv").read_text())
    without = mura_batch("report", tmp_path / "run")
    assert without.returncode == 0, without.stderr
    page = (tmp_path / "run" / "report.html").read_text()
    assert "confusion" in page.lower()
    assert str(studies / "truth.csv") in page
    done = mura_batch("report", tmp_path / "run", "--truth", tmp_path / "other.csv")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "run" / "report.html").read_text()
    assert "confusion" in page.lower()
    assert str(tmp_path / "other.csv") in page
    assert str(studies / "truth.csv") not in page


def test_help_answers_at_once() -> None:
    """By CPU time, which another program on the machine does not stretch."""
    times = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert mura_batch("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(times) < 0.3
