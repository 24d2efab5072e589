"""What a command leaves for the end of the process: whom to notify, what was published, how errors are shown."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from json import dumps
from typing import Any

import click

from mura_batch.cli.process import log, say, show
from mura_batch.errors import OutputError
from mura_batch.version import __version__

NOTIFY_SECONDS = 30.0  # systemd waits 90 s before it kills, shells and cron for ever


@dataclass(slots=True)
class Outcome:
    """Of one command. notify: the command line of --notify, None for none. json: whether --json was given. message:
    of a command that succeeds, one line a finding. published: what the notification says of the run, beside how it
    ended; empty where none was published."""

    notify: str | None = None
    json: bool = False
    message: str = ""
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    published: dict[str, Any] = field(default_factory=dict)

    def end(self, code: int, error: str, message: str) -> None:
        """Tells those who asked how the command ended. error: the name of the error's class, '' where there was none.
        message: one line without patient data."""
        log.event("finished", exit_code=code)
        if self.notify is not None:
            self._notify(code, error, message)

    def show_error(self, code: int, error: str, message: str) -> None:
        """With --json the error is one JSON object on standard output, too."""
        if self.json:
            with suppress(OutputError, BrokenPipeError):
                show(dumps({"error": error, "exit_code": code, "message": message}, indent=2))

    def _notify(self, code: int, error: str, message: str) -> None:
        summary = {
            "tool": f"mura-batch {__version__}",
            "run": log.run,
            "started": self.started,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "exit_code": int(code),
            "published": bool(self.published),
            "error": error,
            "message": message,
            **self.published,
        }
        if problem := run_command(shlex.split(self.notify or ""), dumps(summary) + "\n"):
            say(f"mura-batch: --notify {problem}; the exit code stays {int(code)}")


def current_outcome() -> Outcome:
    """Of the command that runs."""
    return click.get_current_context().find_root().ensure_object(Outcome)


def run_command(words: list[str], text: str, seconds: float = NOTIFY_SECONDS) -> str:
    """Runs a program without a shell, text on its standard input, its output thrown away. Returns what went wrong, ''
    for nothing. After so many seconds, or at a signal to this process, it and what it started are ended."""
    try:
        child = subprocess.Popen(  # noqa: S603 - the user's own program, without a shell
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )
    except (OSError, ValueError) as error:
        return f"cannot be started ({getattr(error, 'strerror', None) or error})"
    try:
        child.communicate(text, timeout=seconds)
    except subprocess.TimeoutExpired:
        _end(child)
        return f"did not end within {seconds:g} s and was ended"
    except KeyboardInterrupt:
        _end(child)
        return "was ended by a signal"
    return f"ended with exit code {child.returncode}" if child.returncode else ""


def _end(child: subprocess.Popen[str]) -> None:
    """With what it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
