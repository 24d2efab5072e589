"""What `prune` leaves behind: pages that lead somewhere, an index that remembers, and honest figures."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from command_line import mura_batch

from mura_batch.history.freed import freed_bytes

ON_DISK = 102_400  # bytes that a file of 100,000 takes: 25 blocks of 4 kB


def nights(out: Path) -> list[Path]:
    return sorted((out / "runs").iterdir())


def bytes_on_disk(out: Path) -> int:
    return int(subprocess.run(["du", "-s", "-B1", out], capture_output=True, text=True, check=True).stdout.split()[0])


def test_the_oldest_night_left_gets_the_report_of_the_removed_one(out: Path) -> None:
    _, second, third, fourth = nights(out)
    shared = (third / "studies.csv").read_bytes()
    assert mura_batch("prune", "--out", out, "--keep-last", 3).returncode == 0
    assert nights(out) == [second, third, fourth]
    page = (second / "report.html").read_text(encoding="utf-8")
    assert "Nothing new" not in page
    assert 'id="studies"' in page
    for run in (third, fourth):
        (target,) = re.findall(r'href="(\.\./[^"]+/report\.html)"', (run / "report.html").read_text(encoding="utf-8"))
        assert (run / target).resolve() == second / "report.html"
        assert (run / "studies.csv").read_bytes() == shared
    done = mura_batch("verify", "--out", out)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_night_whose_tables_were_edited_says_that_its_report_is_gone(out: Path) -> None:
    *_, last = nights(out)
    (last / "studies.csv").unlink()
    (last / "studies.jsonl").unlink()
    assert mura_batch("prune", "--out", out, "--keep-last", 1).returncode == 0
    page = (last / "report.html").read_text(encoding="utf-8")
    assert "whose folder was removed" in page
    assert "../2" not in page


def test_the_bytes_said_to_be_freed_are_freed(out: Path) -> None:
    first, *_ = nights(out)
    (first / "dicom").mkdir()
    (first / "dicom" / "1.dcm").write_bytes(bytes(300_000))
    before = bytes_on_disk(out)
    planned = mura_batch("prune", "--out", out, "--keep-last", 3, "--dry-run").stdout
    (said,) = re.findall(r"1 removed, ([0-9.]+) MB", planned)
    report = bytes_on_disk(first / "report.html")
    shutil.rmtree(first)
    assert float(said) * 1e6 == pytest.approx(before - bytes_on_disk(out), abs=60_000)
    assert float(said) * 1e6 > 300_000 + report - 60_000


def test_a_file_with_a_name_elsewhere_frees_nothing(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "shared").write_bytes(bytes(100_000))
    folder_only = freed_bytes([tmp_path / "gone"]) - ON_DISK
    os.link(tmp_path / "gone" / "shared", tmp_path / "elsewhere")
    assert freed_bytes([tmp_path / "gone"]) == folder_only
    assert freed_bytes([tmp_path / "gone", tmp_path / "elsewhere"]) == folder_only + ON_DISK


def test_the_index_remembers_a_pruned_night(out: Path) -> None:
    first, *_, last = nights(out)
    mura_batch("prune", "--out", out, "--keep-last", 1)
    page = (out / "index.html").read_text(encoding="utf-8")
    assert page.count("pruned</span>") == 3
    assert f"runs/{last.name}/report.html" in page
    assert f"runs/{first.name}" not in page


def test_a_folder_removed_by_hand_is_missed_until_prune_notes_it(out: Path) -> None:
    shutil.rmtree(nights(out)[2])
    assert mura_batch("verify", "--out", out).returncode == 1
    assert mura_batch("prune", "--out", out, "--keep-last", 9).returncode == 0
    assert mura_batch("verify", "--out", out).returncode == 0


def test_after_the_clock_was_set_back_the_last_run_stays(out: Path) -> None:
    *_, last = nights(out)
    future = last.with_name("2091-01-01T000000.000000Z")
    with_future_name(out, nights(out)[0], future)
    assert json.loads(mura_batch("runs", "--out", out, "--json").stdout)[0]["name"] == last.name
    assert mura_batch("prune", "--out", out, "--keep-last", 1).returncode == 0
    assert nights(out) == [last]


def with_future_name(out: Path, run: Path, future: Path) -> None:
    """As if the clock had been wrong in that run."""
    import sqlite3
    from contextlib import closing

    run.rename(future)
    (future / "run.json").write_text((future / "run.json").read_text().replace(run.name, future.name))
    with closing(sqlite3.connect(out / "ledger.sqlite")) as db, db:
        db.execute("UPDATE runs SET name = ? WHERE name = ?", (future.name, run.name))
