"""`mura-batch report`."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import click

from mura_batch.cli.options import FILE, FOLDER, example, option, read_truth_option, viewer_option
from mura_batch.cli.process import say, show
from mura_batch.errors import ExitCode

DAY = click.DateTime(["%Y-%m-%d"])


@click.command(
    epilog=example(
        "mura-batch report mura-out/latest --truth readings.csv",
        "mura-batch report mura-out --since 2026-01-01 --until 2026-03-31",
    )
)
@click.argument("run", type=FOLDER)
@option("--truth", type=FILE, default=None, help="CSV with study_uid (or accession) and label.")
@option("--since", type=DAY, default=None, help="RUN is an OUT: one report over its runs from this day (UTC) on.")
@option("--until", type=DAY, default=None, help="The same up to this day, which is included.")
@viewer_option
def report(
    run: Path, truth: Path | None, since: datetime | None, until: datetime | None, viewer_url: str | None
) -> int:
    """Renders the report of a past RUN again, with truth that was not known then, or one over many runs of an OUT: each
    study with its last score."""
    from mura_batch.history.past_runs import refresh_index_of
    from mura_batch.outputs.period import Period, write_period_report
    from mura_batch.outputs.report.render import render_report_file

    os.umask(0o077)  # identifiers and radiographs: whatever is written is its owner's only
    given = read_truth_option(truth)
    if since is None and until is None:
        show(str(render_report_file(run, given, viewer_url)))
        for warning in refresh_index_of(run):
            say(warning)
        return ExitCode.OK
    period = Period(since.date() if since else None, until.date() if until else None)
    show(str(write_period_report(run, period, given, viewer_url)))
    return ExitCode.OK
