"""`python -m train features`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from train.cli.options import Commands, add_data, print_result
from train.data.examples import TRAIN, VAL
from train.data.open_dataset import open_dataset


def add(commands: Commands) -> None:
    parser = commands.add(
        run,
        "features",
        "Adds what outliers are found by to a model folder: the distribution of features over training pictures.",
        "python -m train features engines/reference --data FRACATLAS",
    )
    parser.add_argument("model", type=Path, help="a model folder; features.npz is added, the network stays as it is")
    add_data(parser)


def run(options: Namespace) -> None:
    from mura_batch.model_card import load_model
    from mura_batch.runtime.feature_distance import load_statistics
    from train.data.input_cache import evenly_spaced, model_inputs
    from train.deliver.feature_statistics import ENOUGH, add_statistics

    model, dataset = load_model(options.model), open_dataset(options.data)
    spec = model.card.input
    training = evenly_spaced(model_inputs(dataset, TRAIN, spec, options.cache), ENOUGH)
    add_statistics(model, training, model_inputs(dataset, VAL, spec, options.cache))
    made = load_statistics(load_model(options.model))
    if made is not None:
        print_result(
            f"{options.model}: {len(made.variances)} directions hold {made.share_of_variance:.1%} of the variance of "
            f"{made.pictures} pictures; {made.quantile:.0%} of {made.held_out} held-out ones lie in {made.limit:.0f}"
        )
