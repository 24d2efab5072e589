"""`mura-batch phantom`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mura_batch.cli.options import FOLDER, example, option
from mura_batch.cli.process import show
from mura_batch.errors import ExitCode


@click.command(epilog=example("mura-batch phantom ./studies --studies 14 --seed 7"))
@click.argument("out", type=FOLDER)
@option("--studies", type=click.IntRange(1, 100_000), default=14, help="How many upper-limb studies.")
@option("--seed", type=click.IntRange(0), default=0, help="Same seed, same bytes.")
@option("--small", is_flag=True, help="About 500 x 400 pixels instead of 2000 x 1600.")
def phantom(out: Path, studies: int, seed: int, small: bool) -> int:
    """Writes DICOM studies of drawn bones into the new folder OUT, with the mess of a real export and a truth.csv."""
    from mura_batch.phantom import PhantomOptions, make_phantoms
    from mura_batch.progress import observer

    with observer(sys.stderr) as watch:
        watch.begin("drawing studies", studies)
        summary = make_phantoms(out, PhantomOptions(studies, seed, small), lambda done, total: watch.advance())
    show(str(summary))
    return ExitCode.OK
