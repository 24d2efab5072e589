"""What is chosen on the validation split after training: the temperature, then the threshold. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mura_batch.errors import InputError
from train.models.logits import sigmoid

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

TEMPERATURE_RULE = (
    "minimises the negative log-likelihood of the validation pictures (Guo et al. 2017, On Calibration of Modern "
    "Neural Networks, section 4.2); an ensemble's members share it"
)
THRESHOLD_RULE = (
    "the threshold of highest Cohen's kappa over the validation studies; where several give it, the middle one of the "
    "longest run of them; midway between neighbouring scores, rounded to 4 decimals"
)
FOLDS = 10  # of the cross-validated kappa


def probabilities(logits: Floats, temperature: float) -> Floats:
    """[K, N] logits of K members -> [N], the mean of their calibrated probabilities."""
    return np.asarray(sigmoid(logits / temperature).mean(axis=0))


def log_loss(probability: Floats, abnormal: Bools) -> float:
    p = np.clip(probability, 1e-7, 1 - 1e-7)  # float32's resolution: a certain mistake costs 16, not infinity
    return float(-np.mean(np.where(abnormal, np.log(p), np.log1p(-p))))


def fit_temperature(logits: Floats, abnormal: Bools) -> float:
    """logits: [K, N]. Golden-section search on log T within 1/20..20, where the loss has one minimum. Four decimals."""
    if abnormal.all() or not abnormal.any():
        raise InputError("the temperature needs normal and abnormal validation pictures; this split has one kind only")
    ratio = (np.sqrt(5) - 1) / 2
    low, high = -np.log(20), np.log(20)
    while high - low > 1e-5:
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        if _loss_at(a, logits, abnormal) < _loss_at(b, logits, abnormal):
            high = b
        else:
            low = a
    return round(float(np.exp((low + high) / 2)), 4)


def _loss_at(log_temperature: float, logits: Floats, abnormal: Bools) -> float:
    return log_loss(probabilities(logits, float(np.exp(log_temperature))), abnormal)


def best_threshold(scores: Floats, abnormal: Bools) -> float:
    """[M] study scores -> the threshold of THRESHOLD_RULE. Raises InputError when all scores are one."""
    distinct = np.unique(scores)
    candidates = np.unique(np.round((distinct[1:] + distinct[:-1]) / 2, 4))
    candidates = candidates[(candidates > 0) & (candidates < 1)]
    if not len(candidates):
        raise InputError("every validation study has the same score: there is nothing to choose a threshold on")
    kappas = _kappas(scores, abnormal, candidates)
    return float(candidates[_middle_of_longest_run(kappas >= kappas.max() - 1e-12)])


def _kappas(scores: Floats, abnormal: Bools, thresholds: Floats) -> Floats:
    """Cohen's kappa of `score > threshold` for each threshold, from the closed form for a 2 x 2 table."""
    called = scores[None, :] > thresholds[:, None]
    hit, false = (called & abnormal).sum(1), (called & ~abnormal).sum(1)
    miss, rest = abnormal.sum() - hit, (~abnormal).sum() - false
    chance = (hit + false) * (false + rest) + (hit + miss) * (miss + rest)
    return np.asarray(2.0 * (hit * rest - false * miss) / np.maximum(chance, 1))


def _middle_of_longest_run(true: Bools) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], true.astype(np.int8), [0]])))
    starts, stops = edges[::2], edges[1::2]
    k = int(np.argmax(stops - starts))
    return int((starts[k] + stops[k] - 1) // 2)


def held_out_decisions(scores: Floats, abnormal: Bools, groups: Sequence[str], seed: int = 0) -> Bools:
    """[M] decisions, each by a threshold chosen on the other nine tenths: what the threshold rule is worth on studies
    that it has not seen. Groups stay together."""
    names = np.unique(np.asarray(groups))
    fold_of = dict(zip(np.random.default_rng(seed).permutation(names), np.arange(len(names)) % FOLDS, strict=True))
    fold = np.array([fold_of[g] for g in groups])
    called = np.zeros(len(scores), bool)
    for k in np.unique(fold):
        inside = fold == k
        called[inside] = scores[inside] > best_threshold(scores[~inside], abnormal[~inside])
    return called
