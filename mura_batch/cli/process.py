"""The process around a command: its standard streams, its signals, and the record of an unexpected error."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import click

from mura_batch.errors import OutputError

# `systemctl stop`, a batch system or a closed terminal: as Ctrl-C, with the exit code 128 + signal that shells use.
SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Signalled(KeyboardInterrupt):
    """A signal that ends the run as Ctrl-C does: what was scored is committed, and every child is ended."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    @property
    def exit_code(self) -> int:
        return 128 + self.number


@contextmanager
def signals_raised() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP raise Signalled in the main thread, once: a second one does not disturb the last
    commit. A signal that the caller had ignored (nohup) stays ignored."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _raise)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise(number: int, _: FrameType | None) -> None:
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise Signalled(number)


def open_missing_streams() -> None:
    """Opens /dev/null in the place of a standard stream that was closed (`2>&-`).

    Otherwise the next file that is opened gets its number, and a message of a library would be written into the ledger.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
    for name, mode in (("stdin", "r"), ("stdout", "r"), ("stderr", "w")):  # stdout for reading: a result is not lost
        if getattr(sys, name) is None:  # in silence, `show` fails
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - lives as long as the process


class Log:
    """What goes to standard error: text for a person, or with --log-format json one object a line for a program.

    run: names the run in each object, '' for a command that is none.
    """

    def __init__(self) -> None:
        self.run = ""
        self.is_json = False

    def event(self, event: str, **values: object) -> None:
        """For a program only."""
        if self.is_json:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            _echo(json.dumps({"time": now, "run": self.run, "event": event, **values}, default=str))

    def line(self, line: str) -> None:
        if not self.is_json:
            _echo(line)
            return
        for one in line.splitlines():
            self.event("message", message=one.removeprefix("mura-batch: "))


log = Log()  # standard error is the process's, and so is this


def say(line: str) -> None:
    """One line to standard error; standard output is for results. A full or closed stream does not change the run."""
    log.line(line)


def _echo(line: str) -> None:
    with suppress(OSError, ValueError):
        click.echo(line, err=True)


def show(text: str) -> None:
    """A result to standard output, as a whole. Raises OutputError where it could not be written; BrokenPipeError where
    its reader has gone."""
    try:
        click.echo(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        discard(1)
        raise OutputError(f"standard output cannot be written ({error}): what it should hold is incomplete") from error


def discard(*streams: int) -> None:
    """From here on these streams go to /dev/null: Python's own flush at exit would turn their failure into exit code
    120."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in streams:
        os.dup2(nowhere, number)
    os.close(nowhere)


def flush_streams() -> None:
    """Before the process ends; a stream that is full is discarded."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):
            discard(number)


def keep_crashes_in(folder: Path) -> None:
    """Where a record of an unexpected error goes: OUT of the command, once it is known."""
    _crash_folders.insert(0, folder)


_crash_folders = [Path(tempfile.gettempdir())]  # the first one that can be written


def record_crash(error: BaseException) -> str:
    """Writes the traceback, without local variables, to crash-<UTC time>.txt, which only its owner reads. Returns one
    line for a person."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    words = f"unexpected error ({type(error).__name__} in {Path(last.filename).name}, line {last.lineno})"
    name = f"crash-{datetime.now(UTC):%Y-%m-%dT%H%M%S.%fZ}.txt"
    for folder in _crash_folders:
        with suppress(OSError):
            descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.writelines(traceback.format_exception(error))
            return f"{words}; what was scored is kept. Send {folder / name} to the developers"
    return f"{words}; what was scored is kept. Please report it"
