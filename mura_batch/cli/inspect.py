"""`mura-batch inspect`."""

from __future__ import annotations

from pathlib import Path

import click

from mura_batch.cli.options import FILE, example, option
from mura_batch.cli.process import show
from mura_batch.errors import ExitCode, InputError


@click.command(
    name="inspect",
    epilog=example("mura-batch inspect IMG0001.dcm --png picture.png", "mura-batch inspect ./studies"),
)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@option("--png", type=FILE, default=None, help="Write what the model would see of the (one) file.")
def inspect_command(paths: tuple[Path, ...], png: Path | None) -> int:
    """Prints every decision about a file and its reason; for a folder, what would be scored and skipped. Decodes no
    folder."""
    from mura_batch.dicom.inspect import describe_file, describe_folder
    from mura_batch.dicom.policy import IntakePolicy
    from mura_batch.preprocess import InputSpec

    if png is not None and (len(paths) != 1 or paths[0].is_dir()):
        raise InputError("--png goes with one file")
    policy = IntakePolicy(settle_seconds=0)
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} is not there")
        lines = describe_folder(path, policy) if path.is_dir() else describe_file(path, policy, InputSpec(), png)
        for line in lines:
            show(line)
    return ExitCode.OK
