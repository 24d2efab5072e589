"""`python -m bench.known_archive [--files N ...]`: nights over archives of which all is known, to a million files.

Nothing is scored: the ledger is given rows for files that are there by name, size and times and hold nothing, as if
they had been scored before. What is measured is a night that has nothing to score: the first one, which computes every
table from the ledger, and the next, on which nothing has changed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from bench.many import PER_FOLDER, PER_STUDY, make_model, make_tree
from bench.result import Figure, table
from bench.whole import score_command
from mura_batch.store.checksum import record_checksum, score_checksum
from mura_batch.store.database import LEDGER_NAME

ROOT = Path(__file__).resolve().parents[1]
SECTION = "An archive of which everything is known"
GROUP = 10_000  # rows that are written together


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.known_archive", description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, nargs="+", default=[100_000, 1_000_000], help="sizes (100,000 1,000,000)")
    parser.add_argument("--work", type=Path, default=Path("build"), help="where the archives are made (build)")
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    figures = []
    for count in chosen.files:
        with tempfile.TemporaryDirectory(prefix="archive-", dir=chosen.work) as folder:
            figures += measure(Path(folder), count)
    sys.stdout.write(table(figures) + "\n")


def measure(work: Path, count: int) -> list[Figure]:
    work.mkdir(parents=True, exist_ok=True)
    studies, out, model = work / "studies", work / "out", make_model(ROOT / "engines" / "reference", work / "model")
    make_tree(studies, PER_STUDY)
    night(studies, out, model)
    shutil.rmtree(out / "runs")
    (out / "latest").unlink()
    fill(studies, out / LEDGER_NAME, count)
    figures = []
    for name in ("tables from the ledger", "nothing changed since"):
        cpu, wall, peak, manifest = night(studies, out, model)
        if manifest["counts"] != {"found": count, "scored": 0, "unchanged": count, "skipped": 0}:
            raise RuntimeError(f"{manifest['counts']}: not every file was known")
        figures += [
            Figure(SECTION, f"{count:,} files, {name}: CPU time", cpu, unit="s"),
            Figure(SECTION, f"{count:,} files, {name}: wall time", wall, unit="s"),
            Figure(SECTION, f"{count:,} files, {name}: peak memory", peak, "< 250", unit="MB"),
        ]
    return figures


def fill(studies: Path, ledger: Path, count: int) -> None:
    """Makes the archive count files large, and the ledger know them. It has the first PER_STUDY."""
    with closing(sqlite3.connect(ledger)) as db:
        first = studies / f"{0:04d}" / f"IM{0:06d}"
        file = db.execute("SELECT * FROM files WHERE path = ?", (os.fsencode(first.relative_to(studies)),)).fetchone()
        score = db.execute("SELECT * FROM scores WHERE content_hash = ?", (file[11],)).fetchone()
        numbers = iter(range(PER_STUDY, count))
        while group := [row for _, row in zip(range(GROUP), _rows(numbers, studies, file, score), strict=False)]:
            db.executemany(f"INSERT INTO files VALUES ({_marks(file)})", [f for f, _ in group])  # noqa: S608
            db.executemany(f"INSERT INTO scores VALUES ({_marks(score)})", [s for _, s in group])  # noqa: S608
            db.commit()


def _rows(
    numbers: Iterator[int], studies: Path, file: tuple[Any, ...], score: tuple[Any, ...]
) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """Rows of `files` and `scores` for each number, after those of number 0, whose file is made."""
    for number in numbers:
        path = Path(f"{number // PER_FOLDER:04d}") / f"IM{number % PER_FOLDER:06d}"
        if number % PER_FOLDER == 0:
            (studies / path).parent.mkdir()
        with (studies / path).open("wb") as empty:
            empty.truncate(file[2])
        info = (studies / path).stat()
        name, content = os.fsencode(path), hashlib.sha256(b"%d" % number).hexdigest()
        study, sop, record = (_numbered(text, number) for text in (file[8], file[9], file[14]))
        probability, decisions = score[4:6]
        yield (
            (None, name, info.st_size, info.st_mtime_ns, info.st_ctime_ns, *file[5:8], study, sop, file[10], content,
             None, file[13], record, record_checksum(name, study, sop, record)),
            (content, *score[1:3], sop, probability, decisions, score[6],
             score_checksum(content, *score[1:3], sop, probability, decisions), *score[8:]),
        )  # fmt: skip


def _numbered(text: str, number: int) -> str:
    """With the UIDs that `make_tree` gives a file of this number in place of those of number 0."""
    for kind, value in ((1, number // PER_STUDY), (2, number // PER_STUDY), (3, number)):
        text = text.replace(f"1.2.3.4.5.{kind}{0:09d}", f"1.2.3.4.5.{kind}{value:09d}")
    return text


def _marks(row: tuple[Any, ...]) -> str:
    return ", ".join("?" * len(row))


def night(studies: Path, out: Path, model: Path) -> tuple[float, float, float, dict[str, Any]]:
    """(seconds of CPU time, seconds, peak resident memory of the process in MB, run.json)."""
    begun = time.perf_counter()
    process = subprocess.Popen(  # noqa: S603 - our own program
        score_command(studies, out, model), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    peak, status = 0.0, Path(f"/proc/{process.pid}/status")
    while True:  # VmHWM: what wait4 gives includes this process's memory before exec
        words = status.read_text()
        if "VmHWM" in words:
            peak = int(words.split("VmHWM:")[1].split()[0]) / 1024
        ended, code, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        time.sleep(0.02)
    process.returncode = os.waitstatus_to_exitcode(code)
    if process.returncode != 0:
        _, errors = process.communicate()
        raise RuntimeError(f"score of {studies} ended with {process.returncode}: {errors.decode()[-500:]}")
    manifest = json.loads((out / "latest" / "run.json").read_text(encoding="utf-8"))
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - begun, peak, manifest


if __name__ == "__main__":
    main()
