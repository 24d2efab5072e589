"""`mura-batch prune`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mura_batch.cli.options import FOLDER, example, option, shared_out_option
from mura_batch.cli.process import say, show
from mura_batch.errors import ExitCode


@click.command(
    epilog=example(
        "mura-batch prune --out /srv/mura --keep-daily 14 --keep-monthly 24 --dry-run",
        "mura-batch prune --out /srv/mura --keep-last 30",
    )
)
@option("--out", type=FOLDER, default=Path("mura-out"), help="Output folder of `score`.")
@option("--keep-last", type=click.IntRange(0), default=0, help="Keep the last N runs.")
@option("--keep-daily", type=click.IntRange(0), default=0, help="Keep the newest run of each of the last N days.")
@option("--keep-weekly", type=click.IntRange(0), default=0, help="Keep the newest run of each of the last N weeks.")
@option("--keep-monthly", type=click.IntRange(0), default=0, help="Keep the newest run of each of the last N months.")
@option("--keep-yearly", type=click.IntRange(0), default=0, help="Keep the newest run of each of the last N years.")
@shared_out_option
@option("--dry-run", is_flag=True, help="Print what would be removed; remove nothing.")
def prune(out: Path, dry_run: bool, allow_shared_out: bool, **keep: Any) -> int:
    """Removes old run folders. Input, scores and the newest run are never removed; days that have no run do not count.
    What goes is listed."""
    from mura_batch.history.prune import Retention
    from mura_batch.history.prune import prune as carry_out

    retention = Retention(**{name.removeprefix("keep_"): count for name, count in keep.items()})
    plan = carry_out(out, retention, dry_run=dry_run, allow_shared_out=allow_shared_out)
    for path in (*plan.remove, *plan.packs):
        show(f"{'would remove' if dry_run else 'removed'} {path}")
    for warning in plan.warnings:
        say(warning)
    show(f"{len(plan.keep)} runs kept, {len(plan.remove)} removed, {plan.freed / 1e6:.1f} MB")
    return ExitCode.OK
