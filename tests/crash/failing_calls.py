"""Lets every system call of a command on OUT fail, one after another, until the command runs through: each time one
line and exit code 1, earlier results whole, and the next run as if nothing had failed. `make faults` runs all of it,
`test_failing_calls.py` a short form.

It shares harness.py: a child is forked for each run, the model is played, the rest is real, the command line included.
It is to run with faults.c preloaded.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import errno
import os
import random
import shutil
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from harness import Harness, index_is_whole, make_stale, published, tables

from mura_batch.cli.main import main as command_line

CALLS = {"write": 1, "fsync": 2, "mkdir": 3, "rename": 4, "link": 5, "open": 6}
ERRORS = ("ENOSPC", "EIO", "EDQUOT")
KILL, _DEATH = "SIGKILL", -1  # in the place of an error and of its number
SCHEMA_2 = Path(__file__).parents[1] / "store" / "data" / "ledger-schema-2.sqlite"
MOST = 100_000  # no command makes so many calls


@dataclass(frozen=True, order=True)
class Failure:
    """The at-th call of a kind gives the error; lasting: and so does every later one."""

    command: str
    call: str
    error: str
    at: int
    lasting: bool


@dataclass(frozen=True)
class Ended:
    """code: of the command. said: on standard error. calls: of the chosen kind."""

    code: int
    said: str
    calls: int


class Commands(Harness):
    """The commands that write to OUT, each with the OUT that it starts from."""

    def __init__(self, work: Path) -> None:
        super().__init__(work)
        self._bases = work / "bases"
        self.study = ""  # one that was scored
        self._starts: dict[str, Callable[[Path], None]] = {
            "first score": lambda folder: None,
            "score": lambda folder: self._nights(folder, 1, without_last=True),
            "prune": lambda folder: self._nights(folder, 3),
            "backup": lambda folder: self._nights(folder, 1),
            "report": lambda folder: self._nights(folder, 1),
            "forget": lambda folder: self._nights(folder, 2),
            "migration": self._old_ledger,
        }
        self.warm()

    def warm(self) -> None:
        """As there, with each command."""
        folder, streams = self.work / "warm", [os.dup(number) for number in (1, 2)]
        folder.mkdir()
        with Path(os.devnull).open("w") as nowhere:
            for number in (1, 2):
                os.dup2(nowhere.fileno(), number)
        try:
            for name in ("first score", "score", "report", "backup", "prune"):
                sys.argv = ["mura-batch", *self.arguments(name, folder)]
                with suppress(SystemExit):
                    command_line()
        finally:
            for number, stream in zip((1, 2), streams, strict=True):
                os.dup2(stream, number)
                os.close(stream)
        with (folder / "out" / "latest" / "studies.csv").open(newline="") as file:
            self.study = next(row["study_uid"] for row in csv.DictReader(file) if row["score"])
        shutil.rmtree(folder)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._starts)

    def arguments(self, name: str, folder: Path) -> list[str]:
        out = folder / "out"
        score = ["score", str(self.studies), "--out", str(out), "--settle", "0", "--device", "cpu"]
        return {
            "prune": ["prune", "--out", str(out), "--keep-last", "1"],
            "backup": ["backup", "--out", str(out), str(folder / "copy.sqlite")],
            "report": ["report", str(out / "latest"), "--truth", str(self.studies / "truth.csv")],
            "forget": ["forget", "--out", str(out), "--study", self.study],
        }.get(name, score)

    def start(self, name: str) -> Path:
        """A new folder with the OUT that the command starts from."""
        base = self._bases / name.replace(" ", "-")
        if not base.exists():
            base.mkdir(parents=True)
            self._starts[name](base)
        folder = Path(tempfile.mkdtemp(dir=self.work))
        shutil.copytree(base, folder, symlinks=True, dirs_exist_ok=True)
        return folder

    def _nights(self, folder: Path, count: int, *, without_last: bool = False) -> None:
        """without_last: without the last study, which the next night finds new."""
        last, away = max(path for path in self.studies.iterdir() if path.is_dir()), self.work / "away"
        if without_last:
            last.rename(away)
        for _ in range(count):
            ended = self.run("score", folder)
            assert is_well("score", ended), ended.said
        if without_last:
            away.rename(last)

    def _old_ledger(self, folder: Path) -> None:
        (folder / "out" / "runs").mkdir(mode=0o700, parents=True)
        shutil.copyfile(SCHEMA_2, folder / "out" / "ledger.sqlite")

    def run(self, name: str, folder: Path, failure: Failure | None = None) -> Ended:
        """The command in a forked child."""
        reader, writer = os.pipe()
        said = folder / "said"
        child = os.fork()
        if not child:
            self._command(name, folder, failure, writer)
        os.close(writer)
        with os.fdopen(reader) as file:
            counted = file.read()
        _, status = os.waitpid(child, 0)
        text = said.read_text(errors="replace")
        said.unlink()
        killed = failure is not None and failure.error == KILL
        assert counted or killed, f"{failure}: the command died with status {status}: {text}"
        return Ended(os.waitstatus_to_exitcode(status), text, int(counted or 0))

    def count(self, name: str, call: str) -> int:
        """How many calls of a kind the command makes when none fails."""
        folder = self.start(name)
        calls = self.run(name, folder, Failure(name, call, ERRORS[0], MOST, lasting=False)).calls
        shutil.rmtree(folder)
        return calls

    def _command(self, name: str, folder: Path, failure: Failure | None, writer: int) -> None:
        code = 99
        try:
            stream = os.open(folder / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(stream, 2)
            sys.argv = ["mura-batch", *self.arguments(name, folder)]
            if failure is not None:
                number = _DEATH if failure.error == KILL else getattr(errno, failure.error)
                chosen = (CALLS[failure.call], ctypes.c_long(failure.at), number, int(failure.lasting))
                self._faults.faults_fail(*chosen, os.fsencode(folder) + b"/")
            command_line()
        except SystemExit as ended:
            code = int(ended.code or 0)
        finally:
            count = self._faults.faults_count(CALLS[failure.call]) if failure is not None else 0
            self._faults.faults_arm(0, ctypes.c_long(0), 0)
            os.write(writer, str(count).encode())
            os._exit(code)


def is_well(name: str, ended: Ended) -> bool:
    """A study that is forgotten already is unknown."""
    return ended.code in {0, 3} or (name == "forget" and ended.code == 2 and "nothing was removed" in ended.said)


@dataclass(frozen=True)
class Results:
    """What a command leaves that ran through, twice: tables of each run, and how many scores the ledger has."""

    runs: tuple[dict[str, bytes], ...]
    scores: int


def results(folder: Path) -> Results:
    with closing(sqlite3.connect(folder / "out" / "ledger.sqlite")) as db:
        (scores,) = db.execute("SELECT count(*) FROM scores").fetchone()
    return Results(tuple(map(tables, published(folder / "out"))), scores)


def expected(commands: Commands, name: str) -> tuple[Results, Results]:
    """Before the command, and after two of it."""
    folder = commands.start(name)
    before = results(folder) if name not in {"first score", "migration"} else Results((), 0)
    for _ in range(2):
        ended = commands.run(name, folder)
        assert is_well(name, ended), ended.said
    after = results(folder)
    shutil.rmtree(folder)
    return before, after


def check(commands: Commands, failure: Failure, before: Results, after: Results) -> Ended:
    """Raises AssertionError that says what the failure left wrong."""
    folder = commands.start(failure.command)
    ended = commands.run(failure.command, folder, failure)
    if not is_well(failure.command, ended):
        lines = ended.said.splitlines()
        assert ended.code == 1, f"{failure}: exit code {ended.code}: {ended.said}"
        assert len(lines) == 1, f"{failure}: {len(lines)} lines: {ended.said}"
        assert lines[0].startswith("mura-batch: "), f"{failure}: {lines[0]}"
        assert "unexpected error" not in lines[0], f"{failure}: {lines[0]}"
    leave_right(commands, failure, folder, before, after)
    shutil.rmtree(folder)
    return ended


def leave_right(commands: Commands, failure: Failure, folder: Path, before: Results, after: Results) -> None:
    """Raises AssertionError where the command left something wrong, or does not end well when it is run again."""
    out = folder / "out"
    left = [tables(run) for run in published(out)]
    if failure.command == "prune":
        whole = (*before.runs, *after.runs)  # a report that a later night's page leads to is handed on to it
        assert left[-1] in (before.runs[-1], after.runs[-1]), f"{failure}: the newest run is another one"
        assert all(run in whole for run in left), f"{failure}: half a run is left"
    elif failure.command == "forget":
        for run, whole, reduced in zip(left, before.runs, after.runs, strict=True):
            half = [name for name, content in run.items() if content not in (whole[name], reduced[name])]
            assert not half, f"{failure}: neither as before nor without the study: {half}"
    elif failure.command != "report":
        assert tuple(left[: len(before.runs)]) == before.runs, f"{failure}: an earlier run changed"
    assert not (out / "latest").is_symlink() or (out / "latest" / "run.json").exists(), f"{failure}: latest is no run"
    assert index_is_whole(out), f"{failure}: half an index.html"
    make_stale(folder)
    again = commands.run(failure.command, folder)
    assert is_well(failure.command, again), f"{failure}: the next run failed: {again.said}"
    _compare(failure, results(folder), before, after)
    assert (out / "latest").resolve() == published(out)[-1].resolve(), f"{failure}: latest is not the newest run"
    assert index_is_whole(out, published(out)), f"{failure}: the index lacks a run"
    if failure.call != "rename" or failure.error == KILL:  # rename stands for removing a file, too
        hidden = [path.name for path in (*folder.rglob("*.partial"), *folder.rglob(".*.tmp*"))]
        assert not hidden, f"{failure}: left behind: {hidden}"


def _compare(failure: Failure, found: Results, before: Results, after: Results) -> None:
    assert found.scores == after.scores, f"{failure}: {found.scores} scores, not {after.scores}"
    new, wanted = found.runs[len(before.runs) :], after.runs[len(before.runs) :]
    if failure.command in {"prune", "backup", "report", "forget"}:
        assert found.runs == after.runs, f"{failure}: other runs than without it"
    for number, run in enumerate(new):
        for name, content in run.items():
            same = content == wanted[min(number, 1)][name]
            assert same, f"{failure}: {name} of run {number + 1} of {len(new)} differs"


def some(name: str, count: int, seed: int) -> Iterator[Failure]:
    """A few calls of each kind, drawn."""
    draw = random.Random(f"{seed} {name}")
    for call in CALLS:
        for at in sorted(draw.sample(range(1, 20), count)):
            yield Failure(name, call, draw.choice(ERRORS), at, draw.random() < 0.5)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="One command.")
    parser.add_argument("--calls", type=int, default=0, help="So many calls of each kind; 0 for all.")
    parser.add_argument("--lasting", action="store_true", help="Every later call fails, too.")
    options = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="failing-") as work:
        commands = Commands(Path(work))
        for name in [options.only] if options.only else commands.names:
            chosen = some(name, options.calls, 1) if options.calls else None
            wrong += _report(commands, name, chosen, lasting=options.lasting)
    return int(wrong > 0)


def _report(commands: Commands, name: str, chosen: Iterator[Failure] | None, *, lasting: bool) -> int:
    """Prints what failures of one command did; returns how many left something wrong."""
    before, after = expected(commands, name)
    tally: Counter[tuple[str, int]] = Counter()
    wrong = 0
    for failure in chosen if chosen is not None else _until_clean(commands, name, lasting=lasting):
        try:
            ended = check(commands, failure, before, after)
        except AssertionError as error:
            wrong += 1
            sys.stdout.write(f"{error}\n")
            sys.stdout.flush()
            continue
        if ended.calls >= failure.at:
            tally[failure.call, ended.code] += 1
    failed = sum(count for (_, code), count in tally.items() if code == 1)
    calls = ", ".join(f"{n} of {call}" for call, n in Counter(call for call, _ in tally.elements()).items())
    words = f"{failed} ended with one line, {tally.total() - failed} went on, {wrong} left something wrong"
    sys.stdout.write(f"{name}: {calls}: {words}\n")
    sys.stdout.flush()
    return wrong


def _until_clean(commands: Commands, name: str, *, lasting: bool) -> Iterator[Failure]:
    """Every call of every kind with every error: as many as the command makes undisturbed, and some more."""
    counts = {call: commands.count(name, call) for call in CALLS}
    for error in ERRORS:
        for call, count in counts.items():
            for at in range(1, count + 3):
                yield Failure(name, call, error, at, lasting)
        sys.stdout.write(f"{name}: {error} done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
