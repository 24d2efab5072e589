"""`mura-batch phantom`, `report` and `inspect`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mura_batch.cli.options import FILE, FOLDER, example, option, read_truth_option
from mura_batch.errors import ExitCode, InputError


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
    click.echo(str(summary))
    return ExitCode.OK


@click.command(epilog=example("mura-batch report mura-out/latest --truth readings.csv"))
@click.argument("run", type=FOLDER)
@option("--truth", type=FILE, default=None, help="CSV with study_uid (or accession) and label.")
def report(run: Path, truth: Path | None) -> int:
    """Renders the report of a past RUN again, with the truth that came later."""
    from mura_batch.report.render import render_report_file

    click.echo(str(render_report_file(run, read_truth_option(truth))))
    return ExitCode.OK


@click.command(
    name="inspect",
    epilog=example("mura-batch inspect IMG0001.dcm --png picture.png", "mura-batch inspect ./studies"),
)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@option("--png", type=FILE, default=None, help="Write what the model would see of the (one) file.")
def inspect_command(paths: tuple[Path, ...], png: Path | None) -> int:
    """Tells every decision about a file and why; for a folder, what would be scored and skipped. Decodes no folder."""
    from mura_batch.dicom.inspect import describe_file, describe_folder
    from mura_batch.dicom.policy import IntakePolicy
    from mura_batch.preprocess import InputSpec

    if png is not None and (len(paths) != 1 or paths[0].is_dir()):
        raise InputError("--png goes with one file")
    policy = IntakePolicy(settle_seconds=0)
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} is not there")
        lines = describe_folder(path, policy) if path.is_dir() else describe_file(path, policy, InputSpec(), png)
        for line in lines:
            click.echo(line)
    return ExitCode.OK
