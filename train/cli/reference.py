"""`python -m train reference`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from train.cli.options import Commands, print_result


def add(commands: Commands) -> None:
    parser = commands.add(
        run,
        "reference",
        "Redraws the reference inputs of a model folder, as export draws them, by the folder's own network.",
        "python -m train reference engines/reference",
    )
    parser.add_argument("model", type=Path, help="a model folder; its reference_inputs.npz and their figures change")


def run(options: Namespace) -> None:
    from mura_batch.model_card import load_model
    from train.deliver.redraw_reference import redraw_reference

    parity = redraw_reference(load_model(options.model)).parity["sets"]["reference_inputs"]
    print_result(
        f"{options.model}: half precision differs by {parity['max_abs']:.2g} at most on {parity['n']} new reference "
        "inputs"
    )
