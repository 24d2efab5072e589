"""The command group, and the one place where errors become exit codes."""

from __future__ import annotations

import gc
import os
import sys

import click

from mura_batch.cli.backup import backup
from mura_batch.cli.bench import bench
from mura_batch.cli.compile import compile_command
from mura_batch.cli.dicom import dicom_command
from mura_batch.cli.doctor import doctor
from mura_batch.cli.inspect import inspect_command
from mura_batch.cli.phantom import phantom
from mura_batch.cli.process import (
    Signalled,
    discard,
    flush_streams,
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
        code = _run()
    gc.freeze()  # the interpreter's last search for garbage takes 0.15 s and finds nothing
    flush_streams()
    sys.exit(code)


def _run() -> int:
    """The exit code of the command. An error becomes one line on standard error."""
    try:
        return int(cli.main(prog_name=_NAME, standalone_mode=False) or 0)
    except MuraBatchError as error:
        say(f"{_NAME}: {error}")
        return error.exit_code
    except click.UsageError as error:
        return _misused(error)
    except (KeyboardInterrupt, click.exceptions.Abort) as error:  # Click turns the first into the second
        return _interrupted(error)
    except BrokenPipeError:
        discard(1, 2)  # whatever read our output has ended: a message would fail too
        return ExitCode.FATAL
    except Exception as error:  # noqa: BLE001 - the last handler: a person gets one line, the developers a record
        say(f"{_NAME}: {record_crash(error)}")
        return ExitCode.FATAL


def _misused(error: click.UsageError) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
    else:
        command = error.ctx.command_path if error.ctx is not None else _NAME
        say(f"{_NAME}: {error.format_message().rstrip('.')} (see {command} --help)")
    return error.exit_code


def _interrupted(error: BaseException) -> int:
    signalled = error if isinstance(error, Signalled) else error.__cause__
    if sys.stderr.isatty():
        say("")  # the terminal shows ^C at the start of the line
    say(f"{_NAME}: interrupted; what was scored is kept: the same command goes on from there")
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
    dicom_command,
    send,
    sample,
    inspect_command,
    phantom,
    compile_command,
    doctor,
    bench,
    runs,
    prune,
    verify,
    backup,
):
    cli.add_command(command)
