"""`recalibrate`: the network of a model folder with calibration, threshold and figures from other validation pictures.

The weights stay. A score is right only for radiographs like those that it was calibrated on: another clinic's are not.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mura_batch.model_card import Model, ModelCard
from mura_batch.runtime.feature_distance import load_statistics
from train.data.examples import VAL, Dataset
from train.deliver.export import card_of_fit, counts_of, fit_on_val, write_folder
from train.deliver.reference_inputs import Pictures
from train.deliver.reopen import scoring_network


def recalibrate(model: Model, dataset: Dataset, inputs: Pictures, version: str, out: Path) -> ModelCard:
    """inputs: [N, S, S] of dataset's validation split, by the model's own input. Writes the folder whole or not at all;
    returns its card. What outliers are found by stays; plans and int8 ranges are left out. Raises ModelError for an
    ensemble, which has no single logit, and when half precision misses a gate."""
    fitted = fit_on_val([scoring_network(model)], dataset, inputs, model.card.input)
    before = model.card
    training = {
        **before.training,
        "counts": {**before.training.get("counts", {}), VAL: counts_of(dataset, VAL)},
        "recalibrated": f"the network of {before.name} {before.version}, SHA-256 {model.hash}",
    }
    card = replace(before, version=version, training=training, **card_of_fit(fitted))
    return write_folder(card, fitted, load_statistics(model), out)
