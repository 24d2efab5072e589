"""Kills `prune`, `backup`, the migration of an old ledger and a night at every few of their system calls: nothing is
lost and nothing is doubled, and the same command, run again, ends as if it had not been killed. `make crash` runs all
of it, `test_kills.py` a short form. It is to run with faults.c preloaded.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from failing_calls import CALLS, KILL, Commands, Failure, expected, leave_right


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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", type=int, default=1, help="Kill at every so many calls of a kind.")
    parser.add_argument("--only", default="", help="One command.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="killed-") as work:
        commands = Commands(Path(work))
        for name in [options.only] if options.only else ("prune", "backup", "migration", "score"):
            before, after = expected(commands, name)
            killed = total = 0
            for point in points(commands, name, options.step):
                folder = commands.start(name)
                killed += commands.run(name, folder, point).code < 0
                check_backup(folder)
                leave_right(commands, point, folder, before, after)
                total += 1
            sys.stdout.write(f"{name}: {total} points, {killed} killed, all whole\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
