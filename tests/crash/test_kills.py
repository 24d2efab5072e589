"""A run that was killed anywhere changes no byte of what the next runs write: the short form of `make crash`."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

Preloaded = Callable[..., dict[str, str]]
HERE = Path(__file__).parent


def test_after_a_kill_the_tables_are_the_same_bytes(preloaded: Preloaded) -> None:
    command = [sys.executable, HERE / "harness.py", "--points", "12", "--seed", "2"]
    done = subprocess.run(command, env=preloaded(), capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("12 distinct points")
    assert done.stdout.rstrip().endswith("all equal")


@pytest.mark.parametrize("command", ["prune", "backup", "report", "forget"])
def test_a_killed_command_loses_nothing_and_is_repeated(preloaded: Preloaded, command: str) -> None:
    arguments = [sys.executable, HERE / "killed_commands.py", "--only", command, "--step", "40"]
    done = subprocess.run(arguments, env=preloaded(), capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("all whole")


EVERY = textwrap.dedent(
    """
    import ctypes, os, shutil, signal, sys
    from pathlib import Path
    from mura_batch.store.ledger import Ledger
    faults, old, work = ctypes.CDLL(None), Path(sys.argv[1]), Path(sys.argv[2])
    for kind in (1, 2, 4):
        for at in range(1, 10_000, int(sys.argv[3])):
            path = work / f"{kind}-{at}" / "ledger.sqlite"
            path.parent.mkdir()
            if old.is_file():
                shutil.copyfile(old, path)
            child = os.fork()
            if not child:
                faults.faults_arm(kind, ctypes.c_long(at), 1)
                with Ledger(path):
                    pass
                os._exit(0)
            if os.waitpid(child, 0)[1] != signal.SIGKILL:
                break
    """
)


def test_a_migration_killed_anywhere_is_done_by_the_next_start(preloaded: Preloaded, tmp_path: Path) -> None:
    from mura_batch.store.ledger import Ledger

    old = HERE.parent / "store" / "data" / "ledger-schema-2.sqlite"
    subprocess.run([sys.executable, "-c", EVERY, old, tmp_path, "3"], env=preloaded(), check=True, timeout=200)
    places = sorted(tmp_path.glob("*/ledger.sqlite"))
    assert len(places) > 20
    expected = scores(old)
    for path in places:
        with Ledger(path):
            pass
        assert scores(path) == expected


def test_a_ledger_whose_creation_was_killed_anywhere_is_created_anew(preloaded: Preloaded, tmp_path: Path) -> None:
    from mura_batch.store.ledger import Ledger
    from mura_batch.store.migrations import SCHEMA, schema_of

    subprocess.run([sys.executable, "-c", EVERY, HERE, tmp_path, "1"], env=preloaded(), check=True, timeout=200)
    places = sorted(tmp_path.iterdir())
    assert len(places) > 20
    for folder in places:
        with Ledger(folder / "ledger.sqlite"):
            pass
        assert schema_of(folder / "ledger.sqlite") == SCHEMA


def scores(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT content_hash, probability, decisions, run FROM scores ORDER BY 1").fetchall()
