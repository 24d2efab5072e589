"""Errors that reach a person, and the exit codes they become.

    MuraBatchError                  exit 1   one line: what, which file (by its key), how to fix it
    ├── InputError                  exit 2   what was asked for cannot be: a missing folder, a bad option, a bad TOML
    │   └── TruthError              exit 2   a truth file that cannot be read or names no study of the run
    ├── ModelError                  exit 1   a model folder that is incomplete, changed or not understood
    ├── PreprocessError             exit 1   a picture or an input specification that breaks the contract
    ├── RunnerError                 exit 1   a device that is missing, failed or was lost
    │   └── PlanError               exit 1   a TensorRT plan that cannot be built, loaded or trusted
    ├── ClusterError                exit 1   a cluster that is not there, or a node that cannot do its part
    ├── OutputError                 exit 1   a result that could not be written: disk full, permissions
    │   └── LedgerError             exit 1   the ledger is damaged or of another version
    ├── StrictError                 exit 1   --strict and an input could not be read
    └── LockHeldError               exit 11  another run holds OUT

A bad input file is none of these: it is a `records.Skipped` with a reason, and the run goes on.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What cron sees. docs/operations.md tells what to do for each."""

    OK = 0  # all scored, or nothing new
    FATAL = 1
    USAGE = 2  # Click's own code for a wrong command line
    INPUT_UNREADABLE = 3  # done, but some input could not be read, or a limit was breached
    LOCKED = 11  # another run holds the lock: EAGAIN's number on Linux
    HUNG_UP = 129  # 128 + SIGHUP, as shells report it
    INTERRUPTED = 130  # 128 + SIGINT
    TERMINATED = 143  # 128 + SIGTERM


class MuraBatchError(Exception):
    """Base of every error meant for a person; its text is shown as it is, so it says how to fix the problem."""

    exit_code: ClassVar[ExitCode] = ExitCode.FATAL


class InputError(MuraBatchError):
    exit_code = ExitCode.USAGE


class TruthError(InputError):
    pass


class ModelError(MuraBatchError):
    pass


class PreprocessError(MuraBatchError):
    pass


class RunnerError(MuraBatchError):
    pass


class PlanError(RunnerError):
    pass


class ClusterError(MuraBatchError):
    pass


class OutputError(MuraBatchError):
    pass


class LedgerError(OutputError):
    pass


class StrictError(MuraBatchError):
    pass


class LockHeldError(MuraBatchError):
    exit_code = ExitCode.LOCKED
