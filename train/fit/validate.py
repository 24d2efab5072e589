"""A look at the validation split during training: point values only, for curves and for choosing checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mura_batch.agreement.curves import roc_auc_score
from mura_batch.agreement.kappa import cohen_kappa_score
from mura_batch.progress import progress_bar
from train.data.examples import Example, labels_of, studies_of
from train.data.loader import TermWeights
from train.fit.loss import weighted_bce
from train.models.densenet import MuraNet
from train.models.logits import sigmoid

BATCH = 32
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True)
class Look:
    """loss: the recipe's own, over pictures, unsmoothed. auroc, kappa (at 0.5): of studies; picture_kappa: pictures."""

    loss: float
    auroc: float
    kappa: float
    picture_kappa: float

    def worth(self, criterion: str) -> float:
        """Higher is better, whatever the criterion."""
        value = asdict(self)[criterion]
        return float(-value if criterion == "loss" else value)


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, DTYPES[precision])


@torch.inference_mode()
def logits_of(net: MuraNet, inputs: NDArray[np.uint8], precision: str, device: torch.device) -> NDArray[np.float32]:
    """[N, S, S] uint8 -> [N] float32."""
    net.eval()
    parts = []
    with progress_bar("looking at val", len(inputs)) as advance:
        for i in range(0, len(inputs), BATCH):
            images = torch.from_numpy(np.array(inputs[i : i + BATCH]))[:, None].to(device)
            with autocast(precision, device):
                parts.append(net(images)[0].float().cpu().numpy())
            advance(i + len(images), "")
    return np.concatenate(parts)


def look(logits: NDArray[np.float32], examples: Sequence[Example], weights: TermWeights) -> Look:
    labels, studies = labels_of(examples), studies_of(examples)
    probability = sigmoid(logits.astype(np.float64))
    scores = studies.mean(probability)
    loss = weighted_bce(torch.from_numpy(logits), torch.from_numpy(labels), torch.from_numpy(weights))
    return Look(
        loss=float(loss),
        auroc=_number(roc_auc_score(studies.abnormal, scores).value),
        kappa=_kappa(studies.abnormal, scores),
        picture_kappa=_kappa(labels > 0, probability),
    )


def _kappa(abnormal: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    called = scores > 0.5
    table = [[int((truth & call).sum()) for call in (~called, called)] for truth in (~abnormal, abnormal)]
    return _number(cohen_kappa_score(table).value)


def _number(value: float) -> float:
    """An undefined figure (one class only) never wins and never stops a run."""
    return float("-inf") if np.isnan(value) else value
