"""`mura-batch show`."""

from __future__ import annotations

from dataclasses import asdict
from json import dumps
from pathlib import Path

import click

from mura_batch.cli.options import FOLDER, example, option
from mura_batch.cli.process import show as print_result
from mura_batch.errors import ExitCode


@click.command(
    epilog=example("mura-batch show --out /srv/mura 1.2.840.113619.2.5", "mura-batch show --out /srv/mura A4711 --json")
)
@click.argument("study")
@option("--out", type=FOLDER, default=Path("mura-out"), help="Output folder of `score`.")
@option("--json", "as_json", is_flag=True, help="Print what is known as JSON.")
def show(study: str, out: Path, as_json: bool) -> int:
    """Shows a STUDY, by Study Instance UID, accession number or key: its files, its scores over time with model and
    settings, and why each is what it is."""
    from mura_batch.history.show import show_study, words_of

    found = show_study(out, study)
    if as_json:
        print_result(dumps([asdict(facts) for facts in found], indent=2))
    else:
        print_result("\n".join(line for facts in found for line in words_of(facts)))
    return ExitCode.OK
