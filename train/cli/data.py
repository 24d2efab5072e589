"""`python -m train data`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from mura_batch.errors import InputError
from train.cli.options import Commands, print_result
from train.data.examples import Dataset
from train.data.open_dataset import open_dataset


def add(commands: Commands) -> None:
    description = "Prints the counts of a data set and checks MURA's."
    parser = commands.add(run, "data", description, "python -m train data MURA-v1.1")
    parser.add_argument(
        "data", type=Path, help="MURA v1.1 tree, folder with labels.csv, or DICOM folder with truth.csv"
    )
    parser.add_argument("--partial", action="store_true", help="a part of MURA is no error")
    parser.add_argument("--check", action="store_true", help="open every picture, and name those that cannot be read")


def run(options: Namespace) -> None:
    """A MURA tree that is not whole is an error, so that a script stops."""
    from train.data.counts import differences, table

    dataset = open_dataset(options.data)
    print_result(table(dataset))
    if options.check:
        _check_pictures(dataset)
    if dataset.kind != "mura":
        return
    differing = differences(dataset)
    if differing and not options.partial:
        raise InputError("this is not the whole of MURA v1.1 (--partial accepts it):\n  " + "\n  ".join(differing))
    print_result("As MURA v1.1." if not differing else f"Differs from MURA v1.1 in {len(differing)} counts.")


def _check_pictures(dataset: Dataset) -> None:
    from train.data.input_cache import unreadable_pictures

    errors = list(unreadable_pictures(dataset))
    if errors:
        raise InputError(f"{len(errors)} of {len(dataset.examples)} pictures cannot be read:\n  " + "\n  ".join(errors))
    print_result(f"All {len(dataset.examples)} pictures can be read.")
