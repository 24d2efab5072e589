"""`python -m train quantize`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from train.cli.options import Commands, add_data, print_result
from train.data.examples import TRAIN, VAL
from train.data.open_dataset import open_dataset


def add(commands: Commands) -> None:
    parser = commands.add(
        run,
        "quantize",
        "Adds int8 calibration ranges to a model folder, checked against float32 on val.",
        "python -m train quantize engines/reference --data FRACATLAS",
    )
    parser.add_argument("model", type=Path, help="a model folder; int8.npz and its figures are added")
    add_data(parser)


def run(options: Namespace) -> None:
    from mura_batch.model_card import load_model
    from train.data.input_cache import evenly_spaced, model_inputs
    from train.deliver.quantize import ENOUGH, quantize

    model, dataset = load_model(options.model), open_dataset(options.data)
    spec = model.card.input
    training = evenly_spaced(model_inputs(dataset, TRAIN, spec, options.cache), ENOUGH)
    validation = model_inputs(dataset, VAL, spec, options.cache)
    parity = quantize(model, training, dataset, validation).parity["int8"]
    print_result(
        f"{options.model}: int8 differs from float32 by {parity['max_abs']:.4f} at most, {parity['p99_abs']:.4f} on "
        f"99 % of {parity['n']} pictures; {parity['studies_called_otherwise']} studies called otherwise"
    )
