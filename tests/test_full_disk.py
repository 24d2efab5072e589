"""A disk that is really full: a small file system is mounted for OUT, filled by a run, and made larger."""

from __future__ import annotations

import csv
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest


def run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mura_batch", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def mount(*words: str) -> bool:
    try:
        return subprocess.run(["mount", *words], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount("-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)):
        pytest.skip("no small file system can be mounted here: that takes root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_ends_the_run_without_losing_scores(tmp_path: Path, small_disk: Path) -> None:
    studies = tmp_path / "studies"
    assert run("phantom", studies, "--studies", 8, "--seed", 3, "--small").returncode == 0
    out = small_disk / "out"
    full = run("score", studies, "--out", out, "--settle", 0, "--batch-size", 2)
    assert full.returncode == 1, full.stderr
    assert len(full.stderr.strip().splitlines()) == 1, full.stderr
    assert "free" in full.stderr
    assert not (out / "latest").exists()

    assert mount("-o", "remount,size=64m", str(small_disk))
    kept = scores(out)
    done = run("score", studies, "--out", out, "--settle", 0)
    assert done.returncode == 3, done.stderr  # the phantom export holds a truncated file
    with (out / "latest" / "images.csv").open(newline="") as file:
        images = list(csv.DictReader(file))
    assert {content: row for content, row in scores(out).items() if content in kept} == kept  # not scored again
    assert len(images) > len(kept) > 0  # the disk did fill up in mid-run
    assert {row["reused"] for row in images} == {"0"}  # this run is the first to report them


def scores(out: Path) -> dict[str, list[object]]:
    """content hash -> probability, and where the picture lies."""
    with closing(sqlite3.connect(out / "ledger.sqlite")) as db:
        return {
            row[0]: row[1:] for row in db.execute("SELECT content_hash, probability, pack, pack_offset FROM scores")
        }
