"""Mean and shrunk covariance of `features` over training pictures: what an outlier's distance is measured by.

features.npz: `mean` float32 [1664]; `covariance` float32 [1664 * 1665 / 2], the upper triangle row by row
(numpy.triu_indices); `shrinkage` float64; `pictures` int64, on how many it was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mura_batch.model_card import FEATURES_NAME
from mura_batch.progress import progress_bar
from train.models.densenet import MuraNet
from train.models.scoring_graph import scoring_graph

ENOUGH = 4096  # pictures: two for each feature, and minutes on a processor
BATCH = 32


@dataclass(frozen=True, slots=True)
class FeatureStatistics:
    """mean: [F]; covariance: [F, F], shrunk; shrinkage: 0 to 1; pictures: on how many it was measured."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    shrinkage: float
    pictures: int


def feature_statistics(nets: Sequence[MuraNet], pictures: NDArray[np.uint8]) -> FeatureStatistics:
    """Of the features of a model of these networks, in float32. pictures: [N, S, S] of the training split, N >= 2."""
    features = _features(scoring_graph(nets), pictures)
    covariance, shrinkage = ledoit_wolf(features)
    return FeatureStatistics(features.mean(axis=0), covariance, shrinkage, len(features))


@torch.inference_mode()
def _features(graph: torch.nn.Module, pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """[N, S, S] -> [N, F]."""
    graph = graph.to(memory_format=torch.channels_last)
    parts = []
    with progress_bar("features of training pictures", len(pictures)) as advance:
        for i in range(0, len(pictures), BATCH):
            images = torch.from_numpy(np.array(pictures[i : i + BATCH]))[:, None]
            parts.append(graph(images)[2].double().numpy())
            advance(i + len(images), "")
    return np.concatenate(parts)


def ledoit_wolf(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """[N, F] -> ([F, F] covariance shrunk towards a multiple of the identity, the shrinkage 0 to 1): Ledoit & Wolf,
    Journal of Multivariate Analysis 88 (2004), equation 14. With fewer rows than features the plain covariance has no
    inverse; this one has."""
    n, width = rows.shape
    centred = rows - rows.mean(axis=0)
    plain = centred.T @ centred / n
    scale = float(np.trace(plain)) / width
    distance = float(((plain - scale * np.eye(width)) ** 2).sum())
    error = (float(((centred**2).sum(axis=1) ** 2).sum()) / n - float((plain**2).sum())) / n
    shrinkage = min(1.0, error / distance) if distance > 0 else 1.0
    return (1 - shrinkage) * plain + shrinkage * scale * np.eye(width), shrinkage


def save_feature_statistics(folder: Path, statistics: FeatureStatistics) -> None:
    """Into a model folder."""
    triangle = statistics.covariance[np.triu_indices(len(statistics.mean))]
    np.savez_compressed(
        folder / FEATURES_NAME,
        allow_pickle=False,
        mean=statistics.mean.astype(np.float32),
        covariance=triangle.astype(np.float32),
        shrinkage=np.float64(statistics.shrinkage),
        pictures=np.int64(statistics.pictures),
    )
