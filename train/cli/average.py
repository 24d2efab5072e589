"""`python -m train average`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from train.cli.options import Commands, add_checkpoints, add_data, print_result
from train.data.examples import TRAIN
from train.data.open_dataset import open_dataset


def add(commands: Commands) -> None:
    parser = commands.add(
        run,
        "average",
        "Averages the weights of checkpoints that were trained from one another into one network.",
        "python -m train average runs/start.pt runs/further/final.pt --data OURS --out runs/average.pt",
    )
    add_checkpoints(parser)
    add_data(parser)
    parser.add_argument("--size", type=int, help="input size in pixels (default: the last of the training)")
    parser.add_argument("--out", type=Path, required=True, help="the checkpoint")


def run(options: Namespace) -> None:
    from train.data.input_cache import evenly_spaced, model_inputs
    from train.deliver.average import ENOUGH, average
    from train.models.members import input_spec, read_member

    members = [read_member(path) for path in options.checkpoints]
    spec = input_spec(members, options.size)
    inputs = model_inputs(open_dataset(options.data), TRAIN, spec, options.cache)
    average(members, evenly_spaced(inputs, ENOUGH), options.out)
    print_result(f"{options.out}: of {len(members)} checkpoints, at {spec.size} px")
