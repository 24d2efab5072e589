"""`python -m train reopen`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from train.cli.options import Commands, add_data, print_result
from train.data.examples import TRAIN
from train.data.open_dataset import open_dataset


def add(commands: Commands) -> None:
    parser = commands.add(
        run,
        "reopen",
        "Turns a model folder back into a checkpoint, to train it further: --init of `fit`.",
        "python -m train reopen engines/reference --data OURS --out runs/start.pt",
    )
    parser.add_argument("model", type=Path, help="a model folder of one network")
    add_data(parser)
    parser.add_argument("--out", type=Path, required=True, help="the checkpoint")


def run(options: Namespace) -> None:
    from mura_batch.model_card import load_model
    from train.data.input_cache import evenly_spaced, model_inputs
    from train.deliver.reopen import ENOUGH, reopen

    model = load_model(options.model)
    inputs = model_inputs(open_dataset(options.data), TRAIN, model.card.input, options.cache)
    reopen(model, evenly_spaced(inputs, ENOUGH), options.out)
    print_result(f"{options.out}: for --init of `fit`")
