"""The CPU runner's outputs: the reference that plans, exports and benchmarks are compared with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mura_batch.model_card import Model
from mura_batch.runtime.choose import open_runner
from mura_batch.runtime.parity import answers
from mura_batch.runtime.runner import Outputs, RunnerOptions


def cpu_answers(model: Model, precision: str, images: NDArray[np.uint8]) -> Outputs:
    """Outputs of the CPU runner for all images [N, 1, S, S], features included, as one Outputs. Raises RunnerError."""
    with open_runner(model, RunnerOptions(device="cpu", precision=precision, features=True)) as runner:
        return answers(runner, images, len(images))
