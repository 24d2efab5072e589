"""`mura-batch verify`."""

from __future__ import annotations

from pathlib import Path

import click

from mura_batch.cli.options import FOLDER, example, option
from mura_batch.cli.process import say, show
from mura_batch.errors import ExitCode


@click.command(epilog=example("mura-batch verify --out /srv/mura"))
@option("--out", type=FOLDER, default=Path("mura-out"), help="Output folder of `score`.")
def verify(out: Path) -> int:
    """Reads every row of the ledger, every picture and every run, and names what is not as it was written. Changes
    nothing. Exit code 1 where something is wrong."""
    from mura_batch.history.verify import verify as look

    problems = 0
    for finding in look(out):
        if finding.problem:
            problems += 1
            say(f"{finding.place}: {finding.problem}; {finding.fix}")
        else:
            show(f"{finding.place}: ok")
    return ExitCode.FATAL if problems else ExitCode.OK
