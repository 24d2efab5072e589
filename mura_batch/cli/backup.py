"""`mura-batch backup`."""

from __future__ import annotations

from pathlib import Path

import click

from mura_batch.cli.options import FOLDER, example, option
from mura_batch.cli.process import show
from mura_batch.errors import ExitCode


@click.command(epilog=example("mura-batch backup --out /srv/mura /backup/mura-ledger.sqlite"))
@click.argument("file", type=click.Path(path_type=Path))
@option("--out", type=FOLDER, default=Path("mura-out"), help="Output folder of `score`.")
def backup(file: Path, out: Path) -> int:
    """Copies OUT's ledger to FILE, consistent also while a run is going. To restore, put FILE in the place of
    OUT/ledger.sqlite."""
    from mura_batch.history.backup import backup as copy

    copy(out, file)
    show(str(file))
    return ExitCode.OK
