"""`python -m train data`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from mura_batch.errors import InputError
from train.cli.options import Commands, print_result
from train.data.open_dataset import open_dataset


def add(commands: Commands) -> None:
    description = "Prints the counts of a data set and checks MURA's."
    parser = commands.add(run, "data", description, "python -m train data MURA-v1.1")
    parser.add_argument(
        "data", type=Path, help="MURA v1.1 tree, folder with labels.csv, or DICOM folder with truth.csv"
    )
    parser.add_argument("--partial", action="store_true", help="a part of MURA is no error")


def run(options: Namespace) -> None:
    """A MURA tree that is not whole is an error, so that a script stops."""
    from train.data.counts import differences, table

    dataset = open_dataset(options.data)
    print_result(table(dataset))
    if dataset.kind != "mura":
        return
    differing = differences(dataset)
    if differing and not options.partial:
        raise InputError("this is not the whole of MURA v1.1 (--partial accepts it):\n  " + "\n  ".join(differing))
    print_result("As MURA v1.1." if not differing else f"Differs from MURA v1.1 in {len(differing)} counts.")
