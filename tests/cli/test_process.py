"""Streams, signals and unexpected errors of the real command: each ends in one line, with its exit code."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from mura_batch.phantom import PhantomOptions, make_phantoms

COMMAND = [sys.executable, "-m", "mura_batch"]
DONE = 3  # the export holds a truncated file


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small studies and the other files of an export."""
    return make_phantoms(tmp_path_factory.mktemp("phantom") / "studies", PhantomOptions(studies=3, small=True)).folder


def score(studies: Path, out: Path, *words: str) -> list[str]:
    return [*COMMAND, "score", str(studies), "--out", str(out), "--settle", "0", *words]


def shell(command: list[str], redirection: str) -> subprocess.CompletedProcess[str]:
    """The command with a redirection that subprocess cannot make."""
    script = f'exec "$@" {redirection}'
    return subprocess.run(["bash", "-c", script, "bash", *command], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("redirection", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
def test_closed_and_full_streams_change_no_run(studies: Path, tmp_path: Path, redirection: str) -> None:
    done = shell(score(studies, tmp_path / "out", "--timings"), redirection)
    assert done.returncode == DONE, done.stderr
    assert json.loads((tmp_path / "out" / "latest" / "run.json").read_text())["exit_code"] == DONE
    with closing(sqlite3.connect(tmp_path / "out" / "ledger.sqlite")) as ledger:  # no message went into it
        assert ledger.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
def test_unwritable_json_ends_with_exit_code_1_and_one_line(studies: Path, tmp_path: Path, redirection: str) -> None:
    done = shell(score(studies, tmp_path / "out", "--json"), redirection)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert (tmp_path / "out" / "latest" / "run.json").exists(), "the run itself was published"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_run_as_ctrl_c_does(studies: Path, tmp_path: Path, number: int, code: int) -> None:
    out = tmp_path / "out"
    with subprocess.Popen(score(studies, out, "--batch-size", "1"), stderr=subprocess.PIPE, text=True) as run:
        wait_for_a_score(out / "ledger.sqlite", run)
        children = psutil.Process(run.pid).children(recursive=True)
        run.send_signal(number)
        run.send_signal(number)  # the second one disturbs nothing
        _, printed = run.communicate(timeout=60)
    assert run.returncode == code, printed
    assert len(printed.splitlines()) == 1
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
    assert not (out / "latest").exists()
    before = count_scores(out / "ledger.sqlite")
    done = subprocess.run([*score(studies, out), "--json"], capture_output=True, text=True, check=False)
    assert before >= 1
    assert json.loads(done.stdout)["counts"]["unchanged"] == 0  # no published run had reported them


def test_a_run_under_nohup_survives_the_end_of_its_terminal(studies: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with subprocess.Popen(["nohup", *score(studies, out)], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as run:
        wait_for_a_score(out / "ledger.sqlite", run)
        run.send_signal(signal.SIGHUP)
        run.communicate(timeout=120)
    assert run.returncode == DONE


def test_an_unexpected_error_is_one_line_and_a_private_record(studies: Path, tmp_path: Path) -> None:
    script = (
        "import mura_batch.scoring.pipeline as pipeline\n"
        "def broken(request, observer):\n    patient = 'CANARY'\n    return 1 / 0\n"
        "pipeline.run_score = broken\n"
        "from mura_batch.cli import main\nmain()\n"
    )
    out = tmp_path / "out"
    out.mkdir()
    command = [sys.executable, "-c", script, "score", str(studies), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    (record,) = out.glob("crash-*.txt")
    assert str(record) in line
    assert "ZeroDivisionError" in line
    assert record.stat().st_mode & 0o777 == 0o600
    assert "1 / 0" not in record.read_text()  # `python -c` has no source lines; a local variable would be a canary
    assert "CANARY" not in record.read_text()


def test_an_unexpected_error_before_out_is_there_is_recorded_elsewhere(tmp_path: Path) -> None:
    script = (
        "import mura_batch.doctor.checks as c\nc.examine = lambda *a: 1 / 0\nfrom mura_batch.cli import main\nmain()\n"
    )
    command = [sys.executable, "-c", script, "doctor"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert len(list(tmp_path.glob("crash-*.txt"))) == 1


def count_scores(ledger: Path) -> int:
    if not ledger.exists():
        return 0
    with closing(sqlite3.connect(ledger)) as db:
        try:
            return int(db.execute("SELECT count(*) FROM scores").fetchone()[0])
        except sqlite3.OperationalError:
            return 0  # no table yet, or the ledger is busy


def wait_for_a_score(ledger: Path, run: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while count_scores(ledger) == 0:
        assert run.poll() is None, "the run ended before it could be disturbed"
        assert time.monotonic() < deadline, "no score within two minutes"
        time.sleep(0.01)
