"""Losses. The main one is a binary cross-entropy whose two terms have weights of their own for each picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mura_batch.errors import InputError
from train.data.examples import Example
from train.data.loader import TermWeights
from train.fit.recipe import DistilPart, LossPart
from train.models.densenet import Outputs


def region_weights(examples: Sequence[Example]) -> dict[str, tuple[float, float]]:
    """Region -> (w0, w1): w1 = |N|/(|A|+|N|), w0 = |A|/(|A|+|N|) over pictures; arXiv:1712.06957, section 3.1. A
    picture of several regions counts for each."""
    weights = {}
    for region in {part for e in examples for part in e.regions}:
        abnormal = sum(e.abnormal for e in examples if region in e.regions)
        total = sum(region in e.regions for e in examples)
        weights[region] = (abnormal / total, (total - abnormal) / total)
    return weights


def term_weights(part: LossPart, train: Sequence[Example], of: Sequence[Example]) -> TermWeights:
    """[N, 2] of the pictures `of`, by the counts of the training split; of several regions, the mean of theirs.
    InputError on a region not trained on."""
    if part.weighting != "per_region":
        row = (1.0, part.positive_weight if part.weighting == "positive" else 1.0)
        return np.tile(np.array(row, np.float32), (len(of), 1))
    weights = region_weights(train)
    if foreign := sorted({region for e in of for region in e.regions} - weights.keys()):
        raise InputError(f"region {foreign[0]!r} is in the validation split and not in the training split")
    return np.array([np.mean([weights[region] for region in e.regions], axis=0) for e in of], np.float32)


def weighted_bce(logit: Tensor, abnormal: Tensor, weights: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean over the batch of -(w1 y log p + w0 (1-y) log(1-p)). logit, abnormal: [N]; weights: [N, 2].

    smoothing e moves the label to y(1-e) + e/2.
    """
    y = abnormal * (1 - smoothing) + smoothing / 2
    normal, ill = weights[:, 0].clamp(min=1e-6), weights[:, 1]  # a region without abnormal pictures has w0 = 0
    return functional.binary_cross_entropy_with_logits(logit, y, weight=normal, pos_weight=ill / normal)


def distillation_loss(logit: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Binary cross-entropy against the teacher's probability, both logits [N] divided by temperature, times its square,
    which keeps the gradient's size (Hinton, Vinyals, Dean 2015, arXiv:1503.02531, section 2)."""
    target = torch.sigmoid(teacher / temperature)
    return functional.binary_cross_entropy_with_logits(logit / temperature, target) * temperature**2


def map_loss(maps: Tensor, teacher: Tensor) -> Tensor:
    """1 less the cosine between the maps [N, C, H, W] and the teacher's [N, C, h, w] at each of H x W positions, mean.

    Each channel of the teacher's has mean 0 and deviation 1 over the batch first: what all positions share says
    nothing, and rare channels count as much as strong ones.
    """
    target = functional.interpolate(teacher, size=maps.shape[2:], mode="bilinear", antialias=True)
    target = functional.batch_norm(target, None, None, training=True)
    return 1 - functional.cosine_similarity(maps, target, dim=1).mean()


def training_loss(
    outputs: Outputs, batch: dict[str, Any], part: LossPart, distil: DistilPart
) -> tuple[Tensor, Tensor, Tensor]:
    """(what is minimised, main loss, auxiliary loss) of a batch of the loader, which has the teacher's logits [N] as
    `teacher` and its feature maps at each depth as `teacher_maps` where distil asks for them."""
    logit, extra, maps = outputs
    main = weighted_bce(logit, batch["abnormal"], batch["weights"], part.label_smoothing)
    if distil.weight:
        soft = distillation_loss(logit, batch["teacher"], distil.temperature)
        main = (1 - distil.weight) * main + distil.weight * soft
    if distil.maps:
        pairs = zip(maps, batch["teacher_maps"], strict=True)
        main = main + distil.maps * torch.stack([map_loss(own, teacher) for own, teacher in pairs]).mean()
    if not extra.shape[1]:
        return main, main, torch.zeros_like(main)
    auxiliary = functional.binary_cross_entropy_with_logits(extra, batch["attributes"])
    return main + part.aux_weight * auxiliary, main, auxiliary
