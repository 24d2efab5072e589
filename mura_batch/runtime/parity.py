"""Parity with float32 on the model's reference inputs: how it is measured. `gates` has the limits.

The one place for both: runners and plans are held to these gates when they start, and `train` when it exports.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mura_batch.errors import ModelError
from mura_batch.model_card import Model
from mura_batch.runtime.gates import Gate, Parity
from mura_batch.runtime.runner import Outputs, Runner


def compare(expected: NDArray[np.float32], actual: NDArray[np.float32], threshold: float, gate: Gate) -> Parity:
    """Both [N] probabilities; expected: those of float32. Where either has a value that is not finite, both errors are
    infinite."""
    if not (np.isfinite(expected).all() and np.isfinite(actual).all()):
        return Parity(len(expected), float("inf"), float("inf"), 0, finite=False)
    difference = np.abs(actual.astype(np.float64) - expected)
    changed = (actual > threshold) != (expected > threshold)
    far = np.abs(expected - threshold) > gate.flip_margin
    return Parity(
        n=difference.size,
        max_abs=float(difference.max()),
        mean_abs=float(difference.mean()),
        flips=int(np.count_nonzero(changed & far)),
        finite=True,
    )


def compare_outputs(expected: NDArray[np.float32], actual: Outputs, threshold: float, gate: Gate) -> Parity:
    """As `compare`, and every output that was fetched must be finite."""
    parity = compare(expected, actual.probability, threshold, gate)
    return replace(parity, finite=parity.finite and is_finite(actual))


def is_finite(outputs: Outputs) -> bool:
    """Is every value of every output that was fetched a number?"""
    arrays = (outputs.probability, outputs.cam, outputs.features)
    return all(array is None or bool(np.isfinite(array).all()) for array in arrays)


def load_reference_inputs(model: Model) -> NDArray[np.uint8]:
    """[N, 1, S, S] uint8, N >= 1. Raises ModelError where the file is not that."""
    size = model.card.input.size
    images = _reference_array(model, "images")
    if images is None:
        raise ModelError(f"{model.reference_inputs} has no readable array `images`; export the model again")
    if images.dtype != np.uint8 or images.shape[1:] != (1, size, size) or not len(images):
        raise ModelError(
            f"{model.reference_inputs}: images are {images.dtype} {images.shape}, not uint8 [N, 1, {size}, {size}]; "
            "export the model again"
        )
    return np.ascontiguousarray(images)


def load_reference_answers(model: Model, count: int) -> NDArray[np.float32] | None:
    """[count] probabilities that float32 gave for the reference inputs when the model was exported; None where the
    export did not write them. Raises ModelError where they are something else."""
    values = _reference_array(model, "probability")
    if values is None:
        return None
    if values.dtype != np.float32 or values.shape != (count,) or not ((values >= 0) & (values <= 1)).all():
        raise ModelError(
            f"{model.reference_inputs}: probability is {values.dtype} {values.shape}, not {count} probabilities in "
            "float32; export the model again"
        )
    return values


def _reference_array(model: Model, name: str) -> NDArray[Any] | None:
    try:
        with np.load(model.reference_inputs, allow_pickle=False) as arrays:
            array: NDArray[Any] | None = arrays.get(name)
            return array
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{model.reference_inputs} has no readable array `{name}`; export the model again") from error


def answers(runner: Runner, images: NDArray[np.uint8], batch_size: int) -> Outputs:
    """The outputs of an entered runner for all images [N, 1, S, S], as one Outputs."""
    return concatenate(list(runner.run(split(images, batch_size))))


def split(images: NDArray[np.uint8], size: int) -> Iterator[NDArray[np.uint8]]:
    """Consecutive pieces of at most `size` images; views, in order."""
    for start in range(0, len(images), size):
        yield images[start : start + size]


def concatenate(parts: list[Outputs]) -> Outputs:
    """The pieces of one batch, in order, as one Outputs."""
    if len(parts) == 1:
        return parts[0]
    features = [part.features for part in parts if part.features is not None]
    return Outputs(
        probability=np.concatenate([part.probability for part in parts]),
        cam=np.concatenate([part.cam for part in parts]),
        features=np.concatenate(features) if features else None,
    )
