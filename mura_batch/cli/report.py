"""`mura-batch report`."""

from __future__ import annotations

from pathlib import Path

import click

from mura_batch.cli.options import FILE, FOLDER, example, option, read_truth_option, viewer_option
from mura_batch.cli.process import show
from mura_batch.errors import ExitCode


@click.command(epilog=example("mura-batch report mura-out/latest --truth readings.csv"))
@click.argument("run", type=FOLDER)
@option("--truth", type=FILE, default=None, help="CSV with study_uid (or accession) and label.")
@viewer_option
def report(run: Path, truth: Path | None, viewer_url: str | None) -> int:
    """Renders the report of a past RUN again, with truth that was not known then."""
    from mura_batch.outputs.report.render import render_report_file

    show(str(render_report_file(run, read_truth_option(truth), viewer_url)))
    return ExitCode.OK
