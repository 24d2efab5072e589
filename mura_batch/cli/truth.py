"""`mura-batch truth`."""

from __future__ import annotations

from dataclasses import asdict
from json import dumps
from pathlib import Path

import click

from mura_batch.cli.options import FILE, FOLDER, example, option, shared_out_option
from mura_batch.cli.process import say, show
from mura_batch.errors import ExitCode

out_option = option("--out", type=FOLDER, default=Path("mura-out"), help="Output folder of `score`.")


@click.group(
    epilog=example(
        "mura-batch truth add readings.csv --out /srv/mura",
        "mura-batch truth add second.csv --reader 'reader 2' --out /srv/mura",
        "mura-batch truth list --out /srv/mura",
    )
)
def truth() -> None:
    """Keeps truth in OUT: every later report compares with all of it that names its studies."""


@truth.command(epilog=example("mura-batch truth add board.csv --kind consensus --out /srv/mura"))
@click.argument("file", type=FILE)
@option("--reader", default="", show_default="nobody", help="Who made the labels.")
@option(
    "--kind",
    type=click.Choice(["report", "reader", "consensus"]),
    default=None,
    show_default="reader with --reader, else report",
    help="A consensus overrules a report; readers count where there is neither, by majority.",
)
@out_option
@shared_out_option
def add(file: Path, reader: str, kind: str | None, out: Path, allow_shared_out: bool) -> int:
    """Adds the labels of FILE, a CSV with study_uid (or accession) and label."""
    from mura_batch.agreement.truth_file import TruthKind
    from mura_batch.history.truth_files import add_truth

    chosen = TruthKind(kind or ("reader" if reader else "report"))
    stored, is_new = add_truth(out, file, chosen, reader, allow_shared_out=allow_shared_out)
    words = f"truth file {stored.number}: {stored.labels} labels of {stored.lines} lines, by {stored.level}"
    say(f"{words}; added" if is_new else f"{words}; nothing to do, it was added {stored.added}")
    return ExitCode.OK


@truth.command(name="list", epilog=example("mura-batch truth list --out /srv/mura --json"))
@out_option
@option("--json", "as_json", is_flag=True, help="Print the files as JSON.")
def list_command(out: Path, as_json: bool) -> int:
    """Lists all files that were ever added, removed ones too."""
    from mura_batch.history.truth_files import list_truth, table

    files = list_truth(out)
    show(dumps([asdict(file) for file in files], indent=2) if as_json else "\n".join(table(files)))
    return ExitCode.OK


@truth.command(epilog=example("mura-batch truth remove 3 --out /srv/mura"))
@click.argument("number", type=int)
@out_option
@shared_out_option
def remove(number: int, out: Path, allow_shared_out: bool) -> int:
    """Takes the file of that NUMBER out of use. Later reports do not see it; the list keeps it."""
    from mura_batch.history.truth_files import remove_truth

    removed = remove_truth(out, number, allow_shared_out=allow_shared_out)
    say(f"truth file {removed.number} ({removed.name}) is out of use")
    return ExitCode.OK
