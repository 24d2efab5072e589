"""Limits, notifications and logs of the real command, and what a start on a busy or odd OUT becomes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mura_batch.agreement.drift import Count
from mura_batch.cli.outcome import run_command
from mura_batch.phantom import PhantomOptions, make_phantoms
from mura_batch.scoring.night_limits import Limits, breaches
from mura_batch.store.lock import locked

COMMAND = [sys.executable, "-m", "mura_batch", "score"]
BEYOND = ("--unreadable-limit", "0.01", "--missing-limit", "0.9", "--abnormal-limits", "0,1")
STARTS = int(os.environ.get("MURA_BATCH_STARTS", "8"))  # `make crash` starts 50


@dataclass(frozen=True)
class Night:
    """A run with its export, in a folder of its own, and what it said."""

    studies: Path
    out: Path
    done: subprocess.CompletedProcess[str]
    notification: dict[str, Any]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    """Under umask 000."""
    folder = tmp_path_factory.mktemp("night")
    studies = make_phantoms(folder / "studies", PhantomOptions(studies=3, small=True)).folder
    words = ["--log-format", "json", "--notify", f"tee '{folder / 'note'}'", *BEYOND]
    done = score(studies, folder / "out", *words, umask=0)
    return Night(studies, folder / "out", done, json.loads((folder / "note").read_text()))


def score(studies: Path, out: Path, *words: str, umask: int = -1) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, str(studies), "--out", str(out), "--settle", "0", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, umask=umask)


@pytest.fixture
def out(night: Night, tmp_path: Path) -> Path:
    """A copy of the night's OUT: the next night has no news."""
    return Path(shutil.copytree(night.out, tmp_path / "out", symlinks=True))


def events(log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.splitlines()]


def test_a_json_log_has_one_object_a_line_with_run_and_counts(night: Night) -> None:
    assert night.done.returncode == 3, night.done.stderr
    found = events(night.done.stderr)
    names = ["started", "stage", "stage ended", "stage", "stage ended", "published", "finished"]
    assert [event["event"] for event in found] == names
    (run,) = {event["run"] for event in found}
    assert (night.out / "runs" / run).is_dir()
    counts = json.loads((night.out / "latest" / "run.json").read_text())["counts"]
    assert found[-2]["counts"] == counts
    assert found[-1]["exit_code"] == 3


def test_a_breached_limit_is_one_line_and_exit_code_3_every_night(night: Night, out: Path) -> None:
    (line,) = night.notification["breached_limits"]
    assert "cannot be read (1 of " in line
    assert json.loads((night.out / "latest" / "run.json").read_text())["breached_limits"] == [line]
    again = score(night.studies, out, *BEYOND)
    assert again.returncode == 3
    assert [text for text in again.stderr.splitlines() if "limit: " in text] == [f"mura-batch: limit: {line}"]


def test_a_notification_has_the_summary_and_no_patient_data(night: Night) -> None:
    assert night.notification["published"] is True
    assert night.notification["exit_code"] == 3
    assert night.notification["counts"]["found"] > 0
    text = json.dumps(night.notification) + night.done.stderr
    for column in ("study_uid", "accession", "file"):
        values = {row.split(",")[COLUMNS[column]] for row in rows(night.out)}
        assert not any(value in text for value in values if len(value) > 3)


COLUMNS = {"study_uid": 1, "accession": 2, "file": 5}


def rows(out: Path) -> list[str]:
    return (out / "latest" / "images.csv").read_text().splitlines()[1:]


def test_nothing_of_a_run_is_readable_by_others_under_umask_000(night: Night) -> None:
    open_to_others = [
        path for path in [night.out, *night.out.rglob("*")] if not path.is_symlink() and mode(path) & 0o77
    ]
    assert open_to_others == []


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("redirection", ["2>&- >&-", "2>/dev/full >/dev/full"])
def test_full_and_closed_streams_change_neither_code_nor_notification(
    night: Night, out: Path, tmp_path: Path, redirection: str
) -> None:
    words = ["--log-format", "json", "--notify", f"tee '{tmp_path / 'note'}'", *BEYOND]
    command = [*COMMAND, str(night.studies), "--out", str(out), "--settle", "0", *words]
    done = subprocess.run(["bash", "-c", f'exec "$@" {redirection}', "bash", *command], check=False)
    assert done.returncode == 3
    assert json.loads((tmp_path / "note").read_text())["published"] is True


def test_a_run_that_fails_moves_nothing_and_is_notified(night: Night, out: Path, tmp_path: Path) -> None:
    before = os.readlink(out / "latest")
    done = score(night.studies, out, "--strict", "--json", "--notify", f"tee '{tmp_path / 'note'}'")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert json.loads(done.stdout) == {
        "error": "StrictError", "exit_code": 1, "message": done.stderr.strip().removeprefix("mura-batch: "),
    }  # fmt: skip
    assert os.readlink(out / "latest") == before
    note = json.loads((tmp_path / "note").read_text())
    assert (note["published"], note["error"], note["exit_code"]) == (False, "StrictError", 1)


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [(["--workers", "many"], 2, "UsageError"), (["--model", "nowhere"], 1, "ModelError"), ([], 11, "LockHeldError")],
)
def test_a_refused_start_is_notified(night: Night, tmp_path: Path, words: list[str], code: int, error: str) -> None:
    with locked(tmp_path / "out"):
        done = score(night.studies, tmp_path / "out", "--notify", f"tee '{tmp_path / 'note'}'", "--json", *words)
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == 1
    assert json.loads(done.stdout)["error"] == error
    note = json.loads((tmp_path / "note").read_text())
    assert (note["exit_code"], note["error"]) == (code, error)


def test_an_unknown_option_beside_json_is_a_json_error(tmp_path: Path) -> None:
    done = score(tmp_path, tmp_path / "out", "--json", "--colour")
    assert (done.returncode, json.loads(done.stdout)["exit_code"]) == (2, 2)


def test_a_signal_is_notified_with_its_exit_code(night: Night, tmp_path: Path) -> None:
    words = ["--out", str(tmp_path / "out"), "--settle", "0", "--notify", f"tee '{tmp_path / 'note'}'"]
    with subprocess.Popen([*COMMAND, str(night.studies), *words], stderr=subprocess.PIPE) as run:
        holder(tmp_path / "out" / ".lock")
        run.send_signal(signal.SIGTERM)
        run.communicate(timeout=60)
    assert run.returncode == 143
    assert json.loads((tmp_path / "note").read_text())["exit_code"] == 143


def test_a_notification_that_fails_is_one_line_and_no_exit_code(tmp_path: Path) -> None:
    done = score(tmp_path / "none", tmp_path / "out", "--notify", "sh -c 'exit 7'")
    assert done.returncode == 2
    assert done.stderr.splitlines()[1:] == ["mura-batch: --notify ended with exit code 7; the exit code stays 2"]


def test_a_notification_is_no_shell_and_has_bounded_time(tmp_path: Path) -> None:
    assert run_command(["touch", str(tmp_path / "a; b")], "") == ""
    assert (tmp_path / "a; b").exists()
    assert "cannot be started" in run_command([str(tmp_path / "none")], "")
    assert run_command(["true"], "x" * 1_000_000) == ""  # it need not read its input
    begun = time.monotonic()
    assert "did not end" in run_command(["sh", "-c", "sleep 60 & sleep 60"], "", seconds=0.2)
    assert time.monotonic() - begun < 30


def test_out_that_others_may_write_to_is_exit_code_1_unless_allowed(night: Night, out: Path) -> None:
    out.chmod(0o777)
    done = score(night.studies, out)
    (line,) = done.stderr.splitlines()
    assert (done.returncode, "--allow-shared-out" in line) == (1, True)
    assert os.readlink(out / "latest") == os.readlink(night.out / "latest")
    done = score(night.studies, out, "--allow-shared-out")
    assert (done.returncode, done.stderr) == (0, "")


def test_of_many_starts_at_once_exactly_one_runs(night: Night, tmp_path: Path) -> None:
    """The one that has the lock is halted until the others have ended."""
    command = [*COMMAND, str(night.studies), "--out", str(tmp_path / "out"), "--settle", "0"]
    runs = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(STARTS)]
    try:
        winner = holder(tmp_path / "out" / ".lock")
        os.kill(winner, signal.SIGSTOP)
        losers = [run for run in runs if run.pid != winner]
        said = [run.communicate(timeout=200)[1].splitlines() for run in losers]
        os.kill(winner, signal.SIGCONT)
        (first,) = [run for run in runs if run.pid == winner]
        first.communicate(timeout=200)
    finally:
        for run in runs:
            run.kill()
            run.communicate()
    assert [run.returncode for run in losers] == [11] * (STARTS - 1)
    assert {len(lines) for lines in said} == {1}
    assert first.returncode == 3
    assert len([path for path in (tmp_path / "out" / "runs").iterdir() if path.is_dir()]) == 1


def holder(lock: Path) -> int:
    """The process that has it, once there is one."""
    deadline = time.monotonic() + 120
    while not (lock.exists() and (text := lock.read_text().strip())):
        assert time.monotonic() < deadline, "nobody took the lock"
        time.sleep(0.005)
    return int(text)


@pytest.mark.parametrize(
    ("limits", "missing", "unreadable", "abnormal", "words"),
    [
        (Limits(), (9, 9), (9, 9), (9, 9), []),
        (Limits(missing=0.1), (1, 10), (0, 9), (0, 9), []),  # not more than the limit
        (Limits(missing=0.1), (2, 10), (0, 9), (0, 9), ["20.0% of the known studies are missing (2 of 10)"]),
        (Limits(unreadable=0.0), (0, 0), (1, 400), (0, 9), ["0.2% of the radiographs cannot be read (1 of 400)"]),
        (Limits(abnormal=(0.2, 0.4)), (0, 0), (0, 0), (2, 2), []),  # two studies: chance
        (Limits(abnormal=(0.2, 0.4)), (0, 0), (0, 0), (0, 0), []),  # no news
        (Limits(abnormal=(0.2, 0.4)), (0, 0), (0, 0), (60, 100), ["above --abnormal-limits 0.2,0.4"]),
        (Limits(abnormal=(0.2, 0.4)), (0, 0), (0, 0), (5, 100), ["below --abnormal-limits 0.2,0.4"]),
        (Limits(abnormal="drift"), (0, 0), (0, 0), (5, 100), ["the chart's sentence"]),
        (Limits(abnormal="drift"), (0, 0), (0, 0), (0, 0), []),
    ],
)
def test_what_is_beyond_a_limit_is_named(
    limits: Limits, missing: tuple[int, int], unreadable: tuple[int, int], abnormal: tuple[int, int], words: list[str]
) -> None:
    found = breaches(limits, Count(*missing), Count(*unreadable), Count(*abnormal), lambda _: "the chart's sentence")
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found, strict=True))
