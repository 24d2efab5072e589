"""The command group, and the one place where errors become exit codes."""

from __future__ import annotations

import gc
import os
import sys

import click

from mura_batch.cli.backup import backup
from mura_batch.cli.bench import bench
from mura_batch.cli.compare import compare
from mura_batch.cli.compile import compile_command
from mura_batch.cli.dicom import dicom_command
from mura_batch.cli.doctor import doctor
from mura_batch.cli.export import export
from mura_batch.cli.forget import forget
from mura_batch.cli.inspect import inspect_command
from mura_batch.cli.outcome import Outcome
from mura_batch.cli.phantom import phantom
from mura_batch.cli.process import (
    Signalled,
    discard,
    flush_streams,
    log,
    open_missing_streams,
    record_crash,
    say,
    signals_raised,
)
from mura_batch.cli.prune import prune
from mura_batch.cli.report import report
from mura_batch.cli.runs import runs
from mura_batch.cli.sample import sample
from mura_batch.cli.score import score
from mura_batch.cli.send import send
from mura_batch.cli.show import show
from mura_batch.cli.truth import truth
from mura_batch.cli.verify import verify
from mura_batch.errors import ExitCode, MuraBatchError
from mura_batch.version import DISCLAIMER, __version__

_NAME = "mura-batch"
OTHERS_WRITE = 0o022  # group and others
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def main() -> None:
    """Console entry: whatever goes wrong becomes one line and an exit code."""
    os.umask(os.umask(0) | OTHERS_WRITE)  # whatever is written, nobody else may change it
    open_missing_streams()
    with signals_raised():
        code = _run(Outcome())
    gc.freeze()  # the interpreter's last search for garbage takes 0.15 s and finds nothing
    flush_streams()
    sys.exit(code)


def _run(outcome: Outcome) -> int:
    """The exit code of the command. An error becomes one line on standard error."""
    try:
        code = int(cli.main(prog_name=_NAME, standalone_mode=False, obj=outcome) or 0)
    except BaseException as error:  # noqa: BLE001 - the last handler: every error gets its exit code and its line
        code, kind, message = _explain(error)
        _report(outcome, code, kind, message)
    else:
        kind, message = "", outcome.message
    outcome.end(code, kind, message)
    return code


def _report(outcome: Outcome, code: int, kind: str, message: str) -> None:
    if kind == BrokenPipeError.__name__:
        discard(1, 2)  # whatever read our output has ended: a message would fail too
    elif message:
        outcome.json |= "--json" in sys.argv  # a command line that cannot be parsed
        log.event("error", error=kind, exit_code=code, message=message)
        if not log.is_json:
            say(f"{_NAME}: {message}")
        outcome.show_error(code, kind, message)


def _explain(error: BaseException) -> tuple[int, str, str]:
    """Exit code, name of the error, and one line for a person, which is empty where Click has said it all."""
    match error:
        case MuraBatchError():
            return error.exit_code, type(error).__name__, str(error)
        case click.UsageError():
            return error.exit_code, "UsageError", _misused(error)
        case KeyboardInterrupt() | click.exceptions.Abort():  # Click turns the first into the second
            return _signal_code(error), "Interrupted", _INTERRUPTED
        case BrokenPipeError():
            return ExitCode.FATAL, BrokenPipeError.__name__, "the reader of standard output has gone"
        case Exception():  # a person gets one line, the developers a record
            return ExitCode.FATAL, "UnexpectedError", record_crash(error)
    raise error  # SystemExit and its like are nobody's error


_INTERRUPTED = "interrupted; what was scored is kept: the same command goes on from there"


def _misused(error: click.UsageError) -> str:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return ""
    command = error.ctx.command_path if error.ctx is not None else _NAME
    return f"{error.format_message().rstrip('.')} (see {command} --help)"


def _signal_code(error: BaseException) -> int:
    signalled = error if isinstance(error, Signalled) else error.__cause__
    if sys.stderr.isatty() and not log.is_json:
        say("")  # the terminal shows ^C at the start of the line
    return signalled.exit_code if isinstance(signalled, Signalled) else ExitCode.INTERRUPTED


class _Group(click.Group):
    """Click's own answer to Ctrl-C begins with an empty line, which cron would mail."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise click.Abort from error


@click.group(cls=_Group, context_settings=_CONTEXT, epilog=DISCLAIMER)
@click.version_option(__version__, prog_name=_NAME)
def cli() -> None:
    """Scores folders of musculoskeletal radiographs: DICOM in, CSV and an audit report out."""


for command in (
    score,
    report,
    truth,
    compare,
    dicom_command,
    send,
    sample,
    inspect_command,
    phantom,
    compile_command,
    doctor,
    bench,
    runs,
    show,
    export,
    prune,
    verify,
    backup,
    forget,
):
    cli.add_command(command)
