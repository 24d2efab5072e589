"""The network with its convolutions in 8-bit integers, with input ranges measured on training images.

A convolution behind a ReLU takes numbers from 0 to a largest value, and `int8.npz` of the model folder holds that value
for each of its channels (`python -m train quantize`). Channels differ a hundredfold, and one step serves all: so each
channel is divided by a factor that the weights take back, half of the spread to either side (Xiao et al. 2022,
SmoothQuant, equation 4 with alpha 1/2). ReLU's zero stays zero exactly. Weights have a step for each output channel.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mura_batch.errors import ModelError
from mura_batch.model_card import Model

LEVELS = 256  # of an input: 0 to 255
WEIGHT_LEVELS = 255  # -127 to 127
SMALLEST = 1e-4  # of the largest: a channel that was always zero, or has no weights, still has a range
NOTHING = 1e-30  # what is no larger is zero: half precision ends at 6e-8

Array = NDArray[np.float64]


def load_ranges(model: Model) -> dict[str, NDArray[np.float32]]:
    """Name of a convolution's input -> [C] the largest value of each channel. Raises ModelError on anything else."""
    try:
        with np.load(model.int8, allow_pickle=False) as arrays:
            ranges = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{model.int8} cannot be read ({error}); make it again: python -m train quantize") from error
    for name, largest in ranges.items():
        if largest.ndim != 1 or largest.dtype != np.float32 or not (np.isfinite(largest) & (largest >= 0)).all():
            raise ModelError(f"{model.int8}: {name} is not a largest value a channel; python -m train quantize")
    return ranges


def quantize(network: Any, ranges: dict[str, NDArray[np.float32]], source_file: Path) -> None:
    """Rounds input and weights of every convolution that ranges names, in place, as operations that OpenVINO fuses into
    integer kernels. Raises ModelError, which names source_file, where ranges are another network's."""
    open_names = dict(ranges)
    for operation in network.get_ordered_ops():
        if operation.get_type_name() != "Convolution":
            continue
        for name in operation.input_value(0).get_names() & open_names.keys():
            _quantize(operation, open_names.pop(name), source_file)
    if open_names:
        raise ModelError(
            f"{source_file} belongs to another network: {min(open_names)} is missing here; python -m train quantize"
        )
    network.validate_nodes_and_infer_types()


def _quantize(convolution: Any, largest: NDArray[np.float32], source_file: Path) -> None:
    from openvino import opset13 as operations

    source, weights = convolution.input_value(0), convolution.input_value(1).get_node()
    if weights.get_type_name() != "Constant" or weights.data.shape[1] != len(largest):
        raise ModelError(f"{source_file} does not fit {convolution.get_friendly_name()}; python -m train quantize")
    kind = weights.data.dtype
    limit, scaled = balanced(largest.astype(np.float64), weights.data.astype(np.float64))
    bound = np.abs(scaled).max(axis=(1, 2, 3), keepdims=True)

    def constant(value: Array) -> Any:
        return operations.constant(value.astype(kind))

    zero, one = constant(np.zeros((1, 1, 1, 1))), constant(np.ones((1, 1, 1, 1)))
    low, high = constant(-bound), constant(bound)
    rounded = operations.fake_quantize(source, zero, constant(limit[None, :, None, None]), zero, one, LEVELS)
    filters = operations.fake_quantize(constant(scaled), low, high, low, high, WEIGHT_LEVELS)
    convolution.input(0).replace_source_output(rounded.output(0))
    convolution.input(1).replace_source_output(filters.output(0))


def balanced(largest: Array, weights: Array) -> tuple[Array, Array]:
    """([C] limit, [O, C, h, w] weights): channel c divided by limit[c] is at most 1 where it is at most largest[c], and
    convolved with these weights gives what it gave with the old ones."""
    heaviest = np.abs(weights).max(axis=(0, 2, 3))
    factor = np.sqrt(_floored(largest) / _floored(heaviest))
    limit = factor * (largest / factor).max() if largest.max() > NOTHING else np.ones_like(factor)
    return limit, weights * limit[None, :, None, None]


def _floored(values: Array) -> Array:
    largest = values.max()
    return np.maximum(values, SMALLEST * largest) if largest > NOTHING else np.ones_like(values)
