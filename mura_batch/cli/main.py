"""The command group, and the one place where errors become exit codes."""

from __future__ import annotations

import gc
import sys

import click

from mura_batch.cli.bench import bench
from mura_batch.cli.compile import compile_command
from mura_batch.cli.doctor import doctor
from mura_batch.cli.inspect import inspect_command
from mura_batch.cli.options import say
from mura_batch.cli.phantom import phantom
from mura_batch.cli.report import report
from mura_batch.cli.sample import sample
from mura_batch.cli.score import score
from mura_batch.errors import ExitCode, MuraBatchError
from mura_batch.version import DISCLAIMER, __version__

_NAME = "mura-batch"
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def main() -> None:
    """Console entry: one clear line and an exit code for whatever can be expected to go wrong."""
    try:
        code = cli.main(prog_name=_NAME, standalone_mode=False)
    except MuraBatchError as error:
        say(f"{_NAME}: {error}")
        code = error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = error.exit_code
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else _NAME
        say(f"{_NAME}: {error.format_message().rstrip('.')} (see {command} --help)")
        code = error.exit_code
    except (KeyboardInterrupt, click.exceptions.Abort) as error:  # Click turns the one into the other
        if isinstance(error.__cause__, EOFError):  # and an EOFError, which nobody typed
            raise
        say(f"{_NAME}: interrupted; what was scored is kept: the same command goes on from there")
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # whatever read our output has ended: a message would fail too
        code = ExitCode.FATAL
    gc.freeze()  # the interpreter's last look through all that was imported takes 0.15 s and finds nothing
    sys.exit(int(code or 0))


@click.group(context_settings=_CONTEXT, epilog=DISCLAIMER)
@click.version_option(__version__, prog_name=_NAME)
def cli() -> None:
    """Scores folders of musculoskeletal radiographs: DICOM in, CSV and an audit report out."""


for command in (score, report, sample, inspect_command, phantom, compile_command, doctor, bench):
    cli.add_command(command)
