"""`mura-batch forget`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from mura_batch.cli.options import FOLDER, example, option, shared_out_option
from mura_batch.cli.process import say, show
from mura_batch.errors import ExitCode, InputError


@click.command(
    epilog=example(
        "mura-batch forget --out /srv/mura --study 1.2.840.113619.2.5",
        "mura-batch forget --out /srv/mura --patient 4711",
    )
)
@option("--out", type=FOLDER, default=Path("mura-out"), help="Output folder of `score`.")
@option("--study", multiple=True, show_default=False, help="Study Instance UID; may be given again.")
@option("--patient", multiple=True, show_default=False, help="Patient ID, for all its studies; may be given again.")
@shared_out_option
def forget(out: Path, study: tuple[str, ...], patient: tuple[str, ...], allow_shared_out: bool) -> int:
    """Deletes what OUT holds of studies, for a deletion request: scores, pictures, truth, rows of every run, DICOM
    results and notes of what was sent. Remove the files from the studies folder first, or the next run scores them
    again. Backups and archives are not reached."""
    from mura_batch.history.forget import forget as carry_out

    if not (study or patient):
        raise InputError("name what is to be forgotten: --study UID or --patient ID")
    os.umask(0o077)
    done = carry_out(out, study, patient, allow_shared_out=allow_shared_out)
    for warning in done.warnings:
        say(warning)
    for path in done.left:
        say(f"mura-batch: {path} still names what was forgotten: remove it by hand")
    show(
        f"forgot {', '.join(done.keys)}: {done.scores} scores, {done.pictures} pictures, {done.labels} labels, in "
        f"{done.runs} runs and {len(done.others)} other files"
    )
    return ExitCode.FATAL if done.left else ExitCode.OK
