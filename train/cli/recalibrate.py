"""`python -m train recalibrate`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from train.cli.options import Commands, add_data, print_result
from train.data.examples import VAL
from train.data.open_dataset import open_dataset


def add(commands: Commands) -> None:
    parser = commands.add(
        run,
        "recalibrate",
        "Calibrates a model folder on other validation pictures: new probabilities and threshold, old weights.",
        "python -m train recalibrate engines/reference --data OURS --version 2-ours --out engines/ours",
    )
    parser.add_argument("model", type=Path, help="a model folder of one network")
    add_data(parser)
    parser.add_argument("--version", required=True, help="of the new model: its scores are not those of the old one")
    parser.add_argument("--out", type=Path, required=True, help="the new model folder")


def run(options: Namespace) -> None:
    from mura_batch.model_card import load_model
    from train.data.input_cache import model_inputs
    from train.deliver.recalibrate import recalibrate

    model, dataset = load_model(options.model), open_dataset(options.data)
    inputs = model_inputs(dataset, VAL, model.card.input, options.cache)
    card = recalibrate(model, dataset, inputs, options.version, options.out)
    print_result(
        f"{options.out}: temperature {card.temperature}, bias {card.calibration_bias}, threshold {card.threshold}; "
        f"{model.card.name} {model.card.version} had {model.card.temperature}, {model.card.calibration_bias}, "
        f"{model.card.threshold}"
    )
