"""`mura-batch dicom`."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mura_batch.cli.options import FOLDER, NameList, as_record, example, option, shared_out_option
from mura_batch.cli.process import say
from mura_batch.errors import ExitCode, InputError

if TYPE_CHECKING:
    from mura_batch.outputs.dicom.dicom_sink import DicomChoice

KINDS = ("sr", "gsps", "sc")
DICOM_HELP = "Results as DICOM objects, by comma: sr (report), gsps (presentation state), sc (secondary capture)."
UNSCORED_HELP = "Also write an sr that states why, for each study without a score."


@dataclass(frozen=True, slots=True)
class DicomOptions:
    """The command's argument and options, by their names."""

    run: Path
    dicom: tuple[str, ...]
    dicom_unscored: bool
    allow_shared_out: bool


def dicom_choice(kinds: tuple[str, ...], *, unscored: bool) -> DicomChoice:
    """Raises InputError where what writes the objects is not installed."""
    require_extra("highdicom")
    from mura_batch.outputs.dicom.dicom_sink import DicomChoice

    return DicomChoice(kinds, unscored)


def require_extra(library: str) -> None:
    if find_spec(library) is None:
        raise InputError(f"{library} is not installed: pip install 'mura-batch[dicom]'")


@click.command(
    "dicom",
    epilog=example("mura-batch dicom mura-out/latest", "mura-batch dicom mura-out/latest --dicom sr --dicom-unscored"),
)
@click.argument("run", type=FOLDER)
@option("--dicom", type=NameList(lambda: KINDS), default="sr,gsps,sc", help=DICOM_HELP)
@option("--dicom-unscored", is_flag=True, help=UNSCORED_HELP)
@shared_out_option
@as_record(DicomOptions)
def dicom_command(options: DicomOptions) -> int:
    """Writes the results of a past RUN as DICOM objects into RUN/dicom, as `score --dicom` does. The studies must still
    be where they were scored. Ends with exit code 3 if an object could not be written."""
    from mura_batch.outputs.dicom.objects_table import WRITTEN
    from mura_batch.outputs.dicom.past_run import write_past_run

    os.umask(0o077)  # the objects hold patient data
    choice = dicom_choice(options.dicom, unscored=options.dicom_unscored)
    rows = write_past_run(options.run, choice, allow_shared_out=options.allow_shared_out)
    written = sum(row.status == WRITTEN for row in rows)
    click.echo(f"{written} objects in {options.run / 'dicom'}")
    reasons = Counter(row.reason for row in rows if row.status != WRITTEN)
    for reason, count in sorted(reasons.items()):
        say(f"mura-batch: {count} objects not written: {reason}")
    return ExitCode.INPUT_UNREADABLE if reasons else ExitCode.OK
