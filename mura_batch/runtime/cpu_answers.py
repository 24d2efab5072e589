"""What the CPU runner answers: the reference that plans, exports and benchmarks are compared with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mura_batch.model_card import Model
from mura_batch.runtime.choose import open_runner
from mura_batch.runtime.parity import answers
from mura_batch.runtime.runner import Outputs, RunnerOptions


def cpu_answers(model: Model, precision: str, images: NDArray[np.uint8]) -> Outputs:
    """What the CPU runner says of all images [N, 1, S, S] in a precision, as one Outputs."""
    with open_runner(model, RunnerOptions(device="cpu", precision=precision)) as runner:
        return answers(runner, images, len(images))
