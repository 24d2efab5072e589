"""`runs`, `prune`, `verify` and `backup` on an OUT that the real command wrote."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from command_line import mura_batch

from mura_batch.store.lock import locked


def run_folders(out: Path) -> list[Path]:
    return sorted((out / "runs").iterdir())


def test_runs_lists_the_newest_run_first(out: Path) -> None:
    names = [run.name for run in reversed(run_folders(out))]
    listed = json.loads(mura_batch("runs", "--out", out, "--json").stdout)
    assert [run["name"] for run in listed] == names
    assert [run["exit_code"] for run in listed] == [0, 0, 0, 3]  # the truncated file is news once
    assert listed[0]["counts"]["scored"] == 0
    assert listed[-1]["counts"]["scored"] > 0
    assert listed[0]["kappa"] == listed[-1]["kappa"]
    lines = mura_batch("runs", "--out", out).stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == names


def test_a_run_with_a_damaged_manifest_is_still_listed(out: Path) -> None:
    first, *_ = run_folders(out)
    (first / "run.json").write_text("{")
    listed = json.loads(mura_batch("runs", "--out", out, "--json").stdout)
    assert "run.json cannot be read" in listed[-1]["problem"]
    assert mura_batch("runs", "--out", out).returncode == 0


def test_prune_lists_what_goes_and_leaves_the_ledger(out: Path, four_nights: tuple[Path, Path]) -> None:
    *others, last = run_folders(out)
    planned = mura_batch("prune", "--out", out, "--keep-last", 1, "--dry-run")
    assert all(f"would remove {run}" in planned.stdout for run in others)
    assert run_folders(out) == [*others, last]
    done = mura_batch("prune", "--out", out, "--keep-last", 1)
    assert all(f"removed {run}" in done.stdout for run in others)
    assert run_folders(out) == [last]
    again = mura_batch("score", four_nights[0], "--out", out, "--settle", 0, "--json")
    assert json.loads(again.stdout)["counts"]["scored"] == 0  # no score went with the folder
    assert again.returncode == 0, "and nothing became news again"


def test_a_pack_that_no_score_points_into_is_removed(out: Path) -> None:
    stray = out / "pictures" / "000099.pack"
    stray.write_bytes(b"left by a run that was killed")
    used = [path for path in (out / "pictures").iterdir() if path != stray]
    assert used
    assert f"removed {stray}" in mura_batch("prune", "--out", out, "--keep-last", 9).stdout
    assert not stray.exists()
    assert all(path.exists() for path in used)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("prune", "--keep-last", "1", "--out"), "is not an output folder"),
        (("runs", "--out"), "is not an output folder"),
        (("verify", "--out"), "is not an output folder"),
        (("backup", "copy.sqlite", "--out"), "is not an output folder"),
    ],
)
def test_a_folder_that_is_no_out_is_refused(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    done = mura_batch(*words, tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert message in done.stderr


def test_prune_that_would_keep_nothing_is_refused(out: Path) -> None:
    done = mura_batch("prune", "--out", out)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert len(run_folders(out)) == 4


def test_prune_waits_for_no_run(out: Path) -> None:
    with locked(out):
        done = mura_batch("prune", "--out", out, "--keep-last", 1)
    assert (done.returncode, len(done.stderr.splitlines())) == (11, 1)
    assert len(run_folders(out)) == 4


def test_a_sound_out_is_verified(out: Path) -> None:
    done = mura_batch("verify", "--out", out)
    assert done.returncode == 0, done.stderr
    assert len([line for line in done.stdout.splitlines() if line.endswith(": ok")]) == 6  # ledger, four runs, latest


def flip_a_bit(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def change_a_score(out: Path) -> None:
    with closing(sqlite3.connect(out / "ledger.sqlite")) as db, db:
        db.execute("UPDATE scores SET probability = probability + 1e-9 WHERE rowid = 1")


def change_a_header(out: Path) -> None:
    with closing(sqlite3.connect(out / "ledger.sqlite")) as db, db:
        db.execute("UPDATE files SET record = replace(record, 'DX', 'CR'), sop_uid = sop_uid || '1'")


def drop_a_row(out: Path) -> None:
    table = run_folders(out)[0] / "images.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))


def point_latest_elsewhere(out: Path) -> None:
    (out / "latest").unlink()
    (out / "latest").symlink_to(f"runs/{run_folders(out)[0].name}")


def rename_a_run(out: Path) -> None:
    first = run_folders(out)[0]
    first.rename(first.with_name("2020-01-01T000000.000000Z"))


def edit_a_table(out: Path) -> None:
    """In place, as a careless editor does: no count changes."""
    table = run_folders(out)[0] / "studies.csv"
    table.write_bytes(table.read_bytes().replace(b"2.25", b"2.26", 1))


def lose_the_last_run_of_the_ledger(out: Path) -> None:
    """As after restoring a ledger that is older than the folders."""
    with closing(sqlite3.connect(out / "ledger.sqlite")) as db, db:
        db.execute("DELETE FROM runs WHERE id = (SELECT max(id) FROM runs)")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change_a_score, "the score of content"),
        (change_a_header, "the record of a file"),
        (lambda out: flip_a_bit(next((out / "pictures").iterdir()), 40), "the picture of content"),
        (lambda out: flip_a_bit(out / "ledger.sqlite", 100), "ledger"),
        (drop_a_row, "images have"),
        (lambda out: (run_folders(out)[0] / "run.json").unlink(), "run.json cannot be read"),
        (point_latest_elsewhere, "the newest run is"),
        (rename_a_run, "run.json is of the run"),
        (lambda out: (out / "runs" / "notes").mkdir(), "not a folder of a run"),
        (edit_a_table, "studies.csv is not as it was written"),
        (lambda out: shutil.rmtree(run_folders(out)[1]), "its folder is missing, and `prune` did not remove it"),
        (lambda out: shutil.rmtree(run_folders(out)[0]), "which is gone (mura-batch report renders one of its own)"),
        (lose_the_last_run_of_the_ledger, "the ledger does not know it"),
        (lambda out: shutil.rmtree(out / "pictures"), "the picture of content"),
    ],
)
def test_damage_is_named_and_nothing_is_changed(out: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    done = mura_batch("verify", "--out", out)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    after = {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and "sqlite-" not in path.name}
    assert after == {path: data for path, data in before.items() if "sqlite-" not in path.name}


def test_a_backup_is_a_whole_ledger(out: Path, four_nights: tuple[Path, Path]) -> None:
    copy = out.parent / "copy.sqlite"
    with locked(out):  # a run is going
        assert mura_batch("backup", copy, "--out", out).returncode == 0
    assert copy.stat().st_mode & 0o777 == 0o600
    for path in out.glob("ledger*"):
        path.unlink()
    copy.rename(out / "ledger.sqlite")
    again = mura_batch("score", four_nights[0], "--out", out, "--settle", 0, "--json")
    assert json.loads(again.stdout)["counts"]["scored"] == 0


@pytest.mark.parametrize("name", ["ledger.sqlite", "", "missing/copy.sqlite"])
def test_a_backup_onto_ledger_or_into_missing_folders_is_refused(out: Path, name: str) -> None:
    done = mura_batch("backup", out / name, "--out", out)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


@pytest.fixture(scope="module")
def moved(four_nights: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(studies, OUT) as on another machine: copies of both under other paths, with other inodes and change times."""
    folder = tmp_path_factory.mktemp("other-machine")
    for path, name in zip(four_nights, ("export", "mura"), strict=True):
        subprocess.run(["cp", "-a", path, folder / name], check=True)
    return folder / "export", folder / "mura"


def test_an_out_that_was_copied_to_another_machine_goes_on(moved: tuple[Path, Path], tmp_path: Path) -> None:
    studies, out = moved
    before = run_folders(out)
    done = mura_batch("score", studies, "--out", out, "--settle", 0, "--truth", studies / "truth.csv", "--json")
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)["counts"]
    assert (counts["scored"], counts["unchanged"] > 0) == (0, True)
    assert len(json.loads(mura_batch("runs", "--out", out, "--json").stdout)) == len(before) + 1
    for words in (
        ("verify", "--out", out),
        ("report", before[0]),
        ("report", out / "latest"),
        ("backup", "--out", out, tmp_path / "copy.sqlite"),
        ("prune", "--out", out, "--keep-last", 1),
        ("verify", "--out", out),
    ):
        done = mura_batch(*words)
        assert (done.returncode, done.stderr) == (0, ""), words
    assert (out / "latest" / "report.html").read_text(encoding="utf-8").count("data:image/jpeg") > 0
