"""`mura-batch export`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click

from mura_batch.cli.options import FILE, FOLDER, as_record, example, option
from mura_batch.cli.process import show
from mura_batch.errors import ExitCode
from mura_batch.pseudonyms import Identifiers


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """The command's options, by their names."""

    out: Path
    since: datetime | None
    until: datetime | None
    model: str
    form: str
    identifiers: str | None
    file: Path | None


_DAY = click.DateTime(["%Y-%m-%d"])


@click.command(
    epilog=example(
        "mura-batch export --out /srv/mura --since 2026-01-01 --file scores.csv",
        "mura-batch export --out /srv/mura --model reference --format jsonl | head",
    )
)
@option("--out", type=FOLDER, default=Path("mura-out"), help="Output folder of `score`.")
@option("--since", type=_DAY, default=None, help="Scores committed on this day (UTC) or later.")
@option("--until", type=_DAY, default=None, help="Scores committed on this day or earlier.")
@option("--model", default="", show_default="all", help="Name, name and version, or beginning of the hash of a model.")
@option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv", help="CSV or JSON Lines.")
@option(
    "--identifiers",
    type=click.Choice([one.value for one in Identifiers]),
    default=None,
    show_default="that of the newest run",
    help="How much of the source's identity the rows hold.",
)
@option("--file", type=FILE, default=None, show_default="standard output", help="Where the rows are written.")
@as_record(ExportOptions)
def export(options: ExportOptions) -> int:
    """Writes the scores of the ledger, the oldest first: also those whose run folders were removed."""
    from mura_batch.atomic_files import atomic_writer
    from mura_batch.history.export_scores import Wanted, export_lines

    os.umask(0o077)
    wanted = Wanted(
        options.since.date() if options.since else None,
        options.until.date() if options.until else None,
        options.model,
        Identifiers(options.identifiers) if options.identifiers else None,
    )
    lines = export_lines(options.out, wanted, options.form)
    if options.file is None:
        for line in lines:
            show(line)
        return ExitCode.OK
    end = "\r\n" if options.form == "csv" else "\n"
    with atomic_writer(options.file) as target:
        target.writelines(line + end for line in lines)
    return ExitCode.OK
