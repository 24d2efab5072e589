"""Figures of a model on a split: by study, as MURA counts, and by picture beside it, as the article counts."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from train.data.examples import Dataset, Example, labels_of, studies_of
from train.measure.calibrate import Floats
from train.measure.figures import calibration_figures, figures, picture_figures
from train.measure.predictor import Predictor

WORST = 9  # the article shows its nine worst predictions
HEAT = np.array([[0, 0, 0], [90, 0, 120], [220, 60, 30], [255, 220, 60]], np.float64)  # dark to bright, in this order


@dataclass(frozen=True, slots=True)
class Worst:
    """A picture that the model was most wrong about. png: a data URI of it with the map over it."""

    image: str
    region: str
    abnormal: bool
    probability: float
    png: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """figures: what goes into evaluation.json as it is."""

    figures: dict[str, Any]
    worst: tuple[Worst, ...]


def evaluate(predictor: Predictor, dataset: Dataset, split: str, inputs: NDArray[np.uint8], flips: bool) -> Evaluation:
    """inputs: [N, S, S] of the split."""
    examples, studies = dataset.split(split), studies_of(dataset.split(split))
    probability, cam = predictor.run(inputs, flips)
    worst = _worst(examples, probability, np.asarray(inputs), cam)
    measured = {
        "model": predictor.name,
        "data_kind": dataset.kind,
        "split": split,
        **asdict(predictor.input),
        "threshold": predictor.threshold,
        "test_time_flips": flips,
        "studies": figures(studies, studies.mean(probability), predictor.threshold, split),
        "pictures": picture_figures(examples, probability, predictor.threshold, split),
        "calibration": calibration_figures(examples, probability, split),
        "worst": [_worst_json(one) for one in worst],
    }
    return Evaluation(measured, worst)


def _worst(
    examples: Sequence[Example], probability: Floats, inputs: NDArray[np.uint8], cam: NDArray[np.float32]
) -> tuple[Worst, ...]:
    """Furthest from their label first."""
    apart = np.abs(probability - labels_of(examples))
    rows = np.argsort(-apart, kind="stable")[:WORST]
    return tuple(
        Worst(
            examples[r].image,
            examples[r].region,
            examples[r].abnormal,
            float(probability[r]),
            overlay(inputs[r], cam[r]),
        )
        for r in rows
    )


def _worst_json(worst: Worst) -> dict[str, Any]:
    """Without the picture."""
    row = {"image": worst.image, "region": worst.region, "label": int(worst.abnormal)}
    return {**row, "probability": round(worst.probability, 4)}


def overlay(picture: NDArray[np.uint8], cam: NDArray[np.float32]) -> str:
    """A PNG data URI: the picture in grey, over it the positive class activation in colour."""
    positive = np.maximum(cam, 0) / max(float(cam.max()), 1.0)  # logits: a map that is nearly 0 stays dark
    fine = np.asarray(
        Image.fromarray(positive.astype(np.float32)).resize(picture.shape[::-1], Image.Resampling.BICUBIC)
    )
    fine = np.clip(fine, 0, 1)
    stops = np.linspace(0, 1, len(HEAT))
    colour = np.stack([np.interp(fine, stops, HEAT[:, k]) for k in range(3)], axis=-1)
    mixed = picture[..., None] * (1 - 0.5 * fine[..., None]) + 0.5 * fine[..., None] * colour
    stream = io.BytesIO()
    Image.fromarray(mixed.round().astype(np.uint8)).save(stream, format="PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
