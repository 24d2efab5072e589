"""OUT on file systems that lack something: played by faults.c, beneath Python and SQLite."""

from __future__ import annotations

import csv
import json
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from mura_batch.store.ledger import Ledger

Preloaded = Callable[..., dict[str, str]]
# One run without a model: two nights over the same files, with everything else real.
NIGHTS = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from harness import Harness
    from mura_batch.errors import MuraBatchError
    from mura_batch.progress import Silent
    from mura_batch.scoring import pipeline
    from dataclasses import replace
    harness = Harness(Path(sys.argv[2]))
    for _ in range(2):
        request = replace(harness._request(Path(sys.argv[2]) / "out"), single_writer="single" in sys.argv)
        try:
            print(pipeline.run_score(request, Silent()).manifest.counts)
        except MuraBatchError as error:
            print("error:", error)
            break
    """
)
COMMANDS = textwrap.dedent(
    """
    import json, sys
    from mura_batch.cli.main import main
    for words in json.loads(sys.argv[1]):
        sys.argv = ["mura-batch", *words]
        try:
            main()
        except SystemExit as ended:
            print(f"{words[0]}: {ended.code}", file=sys.stderr)
    """
)


def nights(environment: dict[str, str], work: Path, *words: str) -> list[str]:
    command = [sys.executable, "-c", NIGHTS, Path(__file__).parent, work, *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_without_locks_a_run_needs_the_single_writer_option(preloaded: Preloaded, tmp_path: Path) -> None:
    environment = preloaded("noflock,nolocks")
    (line,) = nights(environment, tmp_path / "a")
    assert line.startswith("error:")
    assert "cannot be locked" in line
    assert "--single-writer" in line
    first, second = nights(environment, tmp_path / "b", "single")
    assert "'unchanged': 0" in first
    assert "'scored': 0" in second


@pytest.mark.parametrize("lacking", ["noflock,nolocks,noshm"])
def test_what_only_reads_works_where_locks_or_shared_memory_lack(
    preloaded: Preloaded, tmp_path: Path, lacking: str
) -> None:
    environment, out = preloaded(lacking), tmp_path / "out"
    assert len(nights(environment, tmp_path, "single")) == 2
    with (out / "latest" / "studies.csv").open(newline="") as file:
        study = next(csv.DictReader(file))["study_uid"]
    commands = [
        ("runs", "--out", out),
        ("verify", "--out", out),
        ("show", "--out", out, study),
        ("export", "--out", out),
        ("backup", "--out", out, tmp_path / "copy.sqlite"),
        ("truth", "list", "--out", out),
        ("report", out / "latest"),
        ("score", tmp_path / "studies", "--out", out, "--settle", "0", "--dry-run"),
    ]
    command = [sys.executable, "-c", COMMANDS, json.dumps(commands, default=str)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.stderr.splitlines() == [f"{words[0]}: 0" for words in commands]


@pytest.mark.parametrize("lacking", ["nosymlink", "nofsyncdir", "noshm", "nosymlink,nofsyncdir,noshm"])
def test_a_run_goes_on_without_what_it_can_do_without(preloaded: Preloaded, tmp_path: Path, lacking: str) -> None:
    first, second = nights(preloaded(lacking), tmp_path)
    assert "'unchanged': 0" in first
    assert "'scored': 0" in second
    oldest, newest = sorted((tmp_path / "out" / "runs").iterdir())
    if "nosymlink" in lacking:
        assert (tmp_path / "out" / "latest.txt").read_text() == f"runs/{newest.name}\n"
    else:
        assert (tmp_path / "out" / "latest").resolve() == newest
    assert (oldest / "report.html").read_text().count("data:image/jpeg") > 0
    assert f"../{oldest.name}/report.html" in (newest / "report.html").read_text()


def test_a_ledger_moves_between_disks_with_and_without_shared_memory(preloaded: Preloaded, tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path):
        pass
    assert journal(path) == "wal"
    code = (
        "import pathlib, sys; from mura_batch.store.ledger import Ledger\nwith Ledger(pathlib.Path(sys.argv[1])): pass"
    )
    subprocess.run([sys.executable, "-c", code, path], env=preloaded("noshm"), check=True, timeout=60)
    assert journal(path) == "delete"
    with Ledger(path):
        pass
    assert journal(path) == "wal"


@pytest.mark.parametrize(
    ("lacking", "status", "words"),
    [
        ("", ["ok", "ok"], "shared memory, symbolic links, folders are flushed"),
        ("noflock,nolocks", ["fail", "warn"], "open to one program at a time"),
        ("nosymlink", ["ok", "warn"], "latest.txt"),
        ("noshm", ["ok", "warn"], "open to one program at a time"),
        ("nofsyncdir", ["ok", "warn"], "a power cut may undo the last rename"),
    ],
)
def test_doctor_says_what_the_file_system_lacks(
    preloaded: Preloaded, tmp_path: Path, lacking: str, status: list[str], words: str
) -> None:
    code = (
        "import json, sys, pathlib; from dataclasses import asdict; from mura_batch.doctor.checks import file_system\n"
        "print(json.dumps([asdict(check) for check in file_system(pathlib.Path(sys.argv[1]))]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], env=preloaded(lacking), capture_output=True, check=True, timeout=60
    )
    checks = json.loads(done.stdout)
    assert [check["status"] for check in checks] == status
    assert words in checks[1]["detail"]
    assert list(tmp_path.iterdir()) == []


def journal(path: Path) -> str:
    with closing(sqlite3.connect(path)) as db:
        return str(db.execute("PRAGMA journal_mode").fetchone()[0])
