"""The command group, and the one place where errors become exit codes."""

from __future__ import annotations

import gc
import sys

import click

from mura_batch import DISCLAIMER, __version__
from mura_batch.cli.bench import bench
from mura_batch.cli.compile import compile_command
from mura_batch.cli.doctor import doctor
from mura_batch.cli.inspect import inspect_command
from mura_batch.cli.options import say
from mura_batch.cli.phantom import phantom
from mura_batch.cli.report import report
from mura_batch.cli.score import score
from mura_batch.errors import ExitCode, MuraBatchError

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def main() -> None:
    """Console entry: one clear line and an exit code for whatever can be expected to go wrong."""
    try:
        code = cli.main(standalone_mode=False)
    except MuraBatchError as error:
        say(f"mura-batch: {error}")
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.exceptions.Abort) as error:  # Click turns the one into the other
        if isinstance(error.__cause__, EOFError):  # and an EOFError, which nobody typed
            raise
        say("mura-batch: interrupted; what was scored is kept: the same command goes on from there")
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone: nothing is left to tell it
        code = ExitCode.FATAL
    gc.freeze()  # the interpreter's last look through all that was imported takes 0.15 s and finds nothing
    sys.exit(int(code or 0))


@click.group(context_settings=_CONTEXT, epilog=DISCLAIMER)
@click.version_option(__version__, prog_name="mura-batch")
def cli() -> None:
    """Scores folders of musculoskeletal radiographs: DICOM in, CSV and an audit report out."""


for command in (score, report, inspect_command, phantom, compile_command, doctor, bench):
    cli.add_command(command)
