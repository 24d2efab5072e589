"""`python -m train ensemble`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from train.cli.export import export_checkpoints
from train.cli.options import Commands, add_data, add_model_folder, print_result


def add(commands: Commands) -> None:
    parser = commands.add(
        run,
        "ensemble",
        "Exports the checkpoints of lowest validation loss as one network.",
        "python -m train ensemble runs/paper --count 5 --data MURA-v1.1",
        "--card train/cards/mura.toml --out engines/mura",
    )
    parser.add_argument("runs", nargs="+", type=Path, help="folders of `fit`")
    parser.add_argument("--count", type=int, default=5, help="members (default: %(default)s, as in the MURA paper)")
    add_data(parser)
    add_model_folder(parser)


def run(options: Namespace) -> None:
    from train.deliver.ensemble import lowest_losses

    members = lowest_losses(options.runs, options.count)
    print_result("Members: " + ", ".join(map(str, members)))
    export_checkpoints(members, options.runs, options)
