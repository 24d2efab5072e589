"""Kills `prune`, `backup`, `report`, `forget`, the migration of an old ledger and a night at every few of their system
calls: nothing is lost and nothing is doubled, and the same command, run again, ends as if it had not been killed. `make
crash` runs all of it, `test_kills.py` a short form. It is to run with faults.c preloaded.
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from failing_calls import CALLS, KILL, Commands, Failure, Results, expected, leave_right

from mura_batch.history.verify import verify
from mura_batch.outputs.forget_rows import still_named

KILLED, ENDED, WRONG = "killed", "ended", "wrong"


def points(commands: Commands, name: str, step: int) -> Iterator[Failure]:
    """Every step-th call of each kind, the first and the last among them."""
    for call in CALLS:
        last = commands.count(name, call)
        for at in sorted({*range(1, last + 1, step), *([last] if last else [])}):
            yield Failure(name, call, KILL, at, lasting=False)


def check_backup(folder: Path) -> None:
    """A backup is whole or not there. Raises AssertionError."""
    copy = folder / "copy.sqlite"
    if copy.exists():
        with closing(sqlite3.connect(copy)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",), f"{copy} is damaged"
            assert db.execute("SELECT count(*) FROM meta WHERE key = 'secret'").fetchone() == (1,), "no secret"


def check_sound(commands: Commands, point: Failure, folder: Path) -> None:
    """After the command was run again: all is as it was written, and a study that was forgotten is named nowhere.
    Raises AssertionError."""
    problems = [finding for finding in verify(folder / "out") if finding.problem]
    assert not problems, f"{point}: {problems}"
    if point.command == "forget":
        named = still_named(folder / "out", [commands.study], frozenset())
        assert not named, f"{point}: the study still stands in {named}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", type=int, default=1, help="Kill at every so many calls of a kind.")
    parser.add_argument("--only", default="", help="One command.")
    options = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="killed-") as work:
        commands = Commands(Path(work))
        for name in [options.only] if options.only else ("prune", "backup", "report", "forget", "migration", "score"):
            before, after = expected(commands, name)
            ends = Counter(check(commands, point, before, after) for point in points(commands, name, options.step))
            words = f"{ends[WRONG]} left something wrong" if ends[WRONG] else "all whole"
            sys.stdout.write(f"{name}: {ends.total()} points, {ends[KILLED]} killed, {words}\n")
            sys.stdout.flush()
            wrong += ends[WRONG]
    return int(wrong > 0)


def check(commands: Commands, point: Failure, before: Results, after: Results) -> str:
    """How a command that is killed there ended; what it left wrong is printed."""
    folder = commands.start(point.command)
    ended = ENDED
    try:
        ended = KILLED if commands.run(point.command, folder, point).code < 0 else ENDED
        check_backup(folder)
        leave_right(commands, point, folder, before, after)
        check_sound(commands, point, folder)
    except AssertionError as error:
        sys.stdout.write(f"{error}\n")
        sys.stdout.flush()
        ended = WRONG
    shutil.rmtree(folder)
    return ended


if __name__ == "__main__":
    sys.exit(main())
