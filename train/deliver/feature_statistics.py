"""What outliers are found by: mean and shrunk covariance of `features` over training pictures, and the limit of their
distance, from held-out pictures of the same data.

The covariance is kept as a low rank plus a diagonal: 1,664 features would take 11 MB in full.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from mura_batch.atomic_files import edited_folder
from mura_batch.errors import InputError
from mura_batch.model_card import CARD_NAME, FEATURES_NAME, Model, ModelCard, write_card
from mura_batch.progress import progress_bar
from mura_batch.runtime.cpu_answers import cpu_answers
from mura_batch.runtime.feature_distance import FeatureStatistics, write_statistics
from train.models.densenet import MuraNet
from train.models.scoring_graph import scoring_graph

ENOUGH = 1200  # pictures: shrinkage makes up for fewer than features, and it takes minutes on a processor
BATCH = 32
MAX_RANK = 224  # directions kept at most: 750 kB
SHARE = 0.99  # of the variance that they explain, where fewer do
QUANTILE = 0.99  # of held-out pictures lie within the limit: one in a hundred ordinary pictures is called an outlier

Pictures = NDArray[np.uint8]  # [N, S, S]
Floats = NDArray[np.float64]


def features_of(nets: Sequence[MuraNet], pictures: Pictures) -> Floats:
    """[N, F] of a model of these networks, in float32."""
    return _features(scoring_graph(nets), pictures)


@torch.inference_mode()
def _features(graph: torch.nn.Module, pictures: Pictures) -> Floats:
    graph = graph.to(memory_format=torch.channels_last)
    parts = []
    with progress_bar("features of pictures", len(pictures)) as advance:
        for i in range(0, len(pictures), BATCH):
            images = torch.from_numpy(np.array(pictures[i : i + BATCH]))[:, None]
            parts.append(graph(images)[2].double().numpy())
            advance(i + len(images), "")
    return np.concatenate(parts)


def statistics_of(training: Floats, held_out: Floats) -> FeatureStatistics:
    """training, held_out: [N, F] features of pictures of the two splits, 2 or more each. Raises InputError on fewer."""
    if min(len(training), len(held_out)) < 2:
        raise InputError(f"{len(training)} training and {len(held_out)} held-out pictures: outliers need two of each")
    covariance, shrinkage = ledoit_wolf(training)
    directions, variances, residual, share = low_rank(covariance)
    statistics = FeatureStatistics(
        mean=training.mean(axis=0),
        directions=directions,
        variances=variances,
        residual=residual,
        limit=np.inf,
        quantile=QUANTILE,
        shrinkage=shrinkage,
        pictures=len(training),
        held_out=len(held_out),
        share_of_variance=share,
    )
    return replace(statistics, limit=float(np.quantile(statistics.distances(held_out), QUANTILE)))


def ledoit_wolf(rows: Floats) -> tuple[Floats, float]:
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


def low_rank(covariance: Floats) -> tuple[Floats, Floats, Floats, float]:
    """[F, F] -> ([K, F] leading directions, [K] their variances, [F] variance that is left of each feature, share of
    the variance that the directions explain): SHARE of it, or MAX_RANK directions."""
    variances, vectors = np.linalg.eigh(covariance)
    variances, vectors = variances[::-1], vectors[:, ::-1]
    share = np.cumsum(variances) / max(float(variances.sum()), np.finfo(np.float64).tiny)
    rank = min(int(np.searchsorted(share, SHARE)) + 1, MAX_RANK, len(variances) - 1)
    directions = vectors[:, :rank].T
    left = covariance.diagonal() - (directions**2 * variances[:rank, None]).sum(axis=0)
    smallest = max(float(variances[0]), 1.0) * 1e-9  # of pictures that are all alike
    return directions, np.maximum(variances[:rank], smallest), np.maximum(left, smallest), float(share[rank - 1])


def add_statistics(model: Model, training: Pictures, held_out: Pictures) -> ModelCard:
    """Puts features.npz into a model folder that has no checkpoint any more, by the network itself in the precision in
    which this processor scores. Replaces the folder whole or not at all; the network stays as it is. Returns the
    card."""
    features = [cpu_answers(model, "auto", pictures[:, None]).features for pictures in (training, held_out)]
    statistics = statistics_of(*(np.asarray(of, np.float64) for of in features))
    with edited_folder(model.folder, without=(CARD_NAME, FEATURES_NAME)) as new:
        write_statistics(statistics, new)
        return write_card(model.card, new, tuple({**model.card.hashes, FEATURES_NAME: ""}))
