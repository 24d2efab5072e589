"""`mura-batch runs`."""

from __future__ import annotations

from dataclasses import asdict
from json import dumps
from pathlib import Path

import click

from mura_batch.cli.options import FOLDER, example, option
from mura_batch.cli.process import show
from mura_batch.errors import ExitCode


@click.command(epilog=example("mura-batch runs --out /srv/mura", "mura-batch runs --json"))
@option("--out", type=FOLDER, default=Path("mura-out"), help="Output folder of `score`.")
@option("--json", "as_json", is_flag=True, help="Print the runs as JSON.")
def runs(out: Path, as_json: bool) -> int:
    """Lists the published runs, newest first: time, exit code, counts, kappa, model and device."""
    from mura_batch.history.past_runs import past_runs, table

    found = past_runs(out)
    show(dumps([asdict(run) for run in found], indent=2) if as_json else "\n".join(table(found)))
    return ExitCode.OK
