"""Reference inputs: drawn radiographs, so that no patient's picture travels with a model, chosen by the model itself.

A parity gate looks at probabilities, and one that is 0 or 1 hides any error of the logit below it. So of the pictures
drawn those are taken whose probabilities lie most evenly between. The same network gets the same pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mura_batch.model_card import REFERENCE_INPUTS_NAME
from mura_batch.phantom import PhantomOptions
from mura_batch.phantom.drawing import draw
from mura_batch.phantom.study_plan import plan_study
from mura_batch.preprocess import InputSpec, preprocess

Pictures = NDArray[np.uint8]  # [N, S, S]
COUNT = 16  # what a first start runs on a processor, some 25 ms each; 0.8 MB at 320 px
STUDIES = 28  # to choose from: 66 pictures, of each region four times
SEED = 20170101  # any fixed number


def reference_inputs(
    spec: InputSpec, score: Callable[[Pictures], NDArray[np.floating]]
) -> tuple[Pictures, NDArray[np.float32]]:
    """([COUNT, S, S] uint8, [COUNT] their probabilities), the lowest probability first. score: [N, S, S] -> [N],
    in float32."""
    pictures = drawn(spec)
    probabilities = score(pictures).astype(np.float32)
    chosen = spread(probabilities)
    return pictures[chosen], probabilities[chosen]


def save_reference_inputs(folder: Path, pictures: Pictures, probabilities: NDArray[np.float32]) -> None:
    """Into a model folder, as the runners read them."""
    images = pictures[:, None]  # [N, 1, S, S]
    np.savez_compressed(folder / REFERENCE_INPUTS_NAME, images=images, probability=probabilities)


def drawn(spec: InputSpec) -> Pictures:
    """[N, S, S] uint8 model inputs."""
    return np.stack([preprocess(picture, spec) for picture in _drawings()])


@lru_cache(maxsize=1)  # some seconds; a process that exports twice draws once
def _drawings() -> tuple[NDArray[np.uint8], ...]:
    options = PhantomOptions(studies=STUDIES, seed=SEED, small=True)
    images = (image for number in range(STUDIES) for image in plan_study(number, options).images)
    return tuple(np.rint(draw(image.exposure) * 255).astype(np.uint8) for image in images)


def spread(probabilities: NDArray[np.float32], count: int = COUNT) -> list[int]:
    """Where in probabilities [N] those are that lie nearest to `count` even steps over 0 to 1, the lowest first. Steps
    in the middle, where the logit shows best, have the first choice."""
    left = set(range(len(probabilities)))
    for step in sorted((np.arange(count) + 0.5) / count, key=lambda step: abs(step - 0.5)):
        left.remove(min(left, key=lambda n: (abs(probabilities[n] - step), n)))
    chosen = set(range(len(probabilities))) - left
    return sorted(chosen, key=lambda n: (probabilities[n], n))
