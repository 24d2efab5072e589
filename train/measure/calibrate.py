"""What is chosen on val after training: temperature and bias, then the threshold. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mura_batch.errors import InputError
from train.models.logits import sigmoid

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

TEMPERATURE_RULE = (
    "temperature and bias minimise the negative log-likelihood of the validation pictures (Platt 1999; Guo et al. "
    "2017, On Calibration of Modern Neural Networks, section 4.2); an ensemble's members share them"
)
THRESHOLD_RULE = (
    "cross-validated: the median, over 10 folds of the groups, of the threshold of highest Cohen's kappa over the "
    "validation studies of the other nine; where several give it, the middle one of the longest run of them; rounded "
    "to 4 decimals"
)
FOLDS = 10  # of what is cross-validated
# Temperatures are searched within these. Dividing by less than 0.25 enlarges half precision's rounding as well, and a
# network that needs it has hardly learned.
LOWEST, HIGHEST = 0.25, 20.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """probability = sigmoid(logit / temperature + bias). The default changes nothing."""

    temperature: float = 1.0
    bias: float = 0.0

    @property
    def is_at_limit(self) -> bool:
        """The search ended at its border: the logits hardly order these pictures, or order them perfectly."""
        return not LOWEST * 1.001 < self.temperature < HIGHEST / 1.001


def probabilities(logits: Floats, calibration: Calibration) -> Floats:
    """[K, N] logits of K members -> [N], the mean of their calibrated probabilities."""
    return np.asarray(sigmoid(logits / calibration.temperature + calibration.bias).mean(axis=0))


def log_loss(probability: Floats, abnormal: Bools) -> float:
    p = np.clip(probability, 1e-7, 1 - 1e-7)  # float32's resolution: a certain mistake costs 16, not infinity
    return float(-np.mean(np.where(abnormal, np.log(p), np.log1p(-p))))


def fit_calibration(logits: Floats, abnormal: Bools) -> Calibration:
    """logits: [K, N]; abnormal: [N]. The calibration of least log loss, four decimals: Fisher scoring in 1/temperature
    and bias, with halved steps. Raises InputError where one class is missing."""
    if abnormal.all() or not abnormal.any():
        raise InputError("calibration needs normal and abnormal validation pictures; this split has one kind only")
    point = np.array([1.0, 0.0])  # 1 / temperature, bias
    loss = _loss_at(point, logits, abnormal)
    for _ in range(200):
        step = _scoring_step(point, logits, abnormal)
        limit = np.clip(point[0] + step[0], 1 / HIGHEST, 1 / LOWEST)
        cut = limit != point[0] + step[0]
        if cut and point[0] == limit:  # the bias alone is left to fit
            step, cut = _scoring_step(point, logits, abnormal, bias_alone=True), False
        elif cut:
            step = step * (limit - point[0]) / step[0]
        while True:
            new = point + step
            new[0] = limit if cut else np.clip(new[0], 1 / HIGHEST, 1 / LOWEST)
            if (new_loss := _loss_at(new, logits, abnormal)) <= loss or np.abs(step).max() < 1e-9:
                break
            step, cut = step / 2, False
        moved = np.abs(new - point).max()
        point, loss = new, min(loss, new_loss)
        if moved < 1e-7 and not cut:
            break
    return Calibration(round(float(1 / point[0]), 4), round(float(point[1]), 4))


def _scoring_step(point: Floats, logits: Floats, abnormal: Bools, bias_alone: bool = False) -> Floats:
    """Fisher scoring: inverse information times the gradient of the log-likelihood, at most 1 in each direction."""
    each = sigmoid(point[0] * logits + point[1])  # [K, N]
    p = np.clip(each.mean(axis=0), 1e-7, 1 - 1e-7)
    slope = each * (1 - each)
    gradients = np.stack([(slope * logits).mean(axis=0) * (not bias_alone), slope.mean(axis=0)])  # [2, N], of p
    weights = 1 / (p * (1 - p))
    information = (gradients * weights) @ gradients.T + 1e-9 * np.eye(2)
    step = np.linalg.solve(information, gradients @ (weights * (abnormal - p)))
    return np.asarray(step / max(1.0, float(np.abs(step).max())))


def _loss_at(point: Floats, logits: Floats, abnormal: Bools) -> float:
    return log_loss(np.asarray(sigmoid(point[0] * logits + point[1]).mean(axis=0)), abnormal)


def folds_of(groups: Sequence[str], seed: int = 0) -> NDArray[np.int64]:
    """[N] fold, 0 to FOLDS - 1, of each case: groups stay together."""
    names = np.unique(np.asarray(groups))
    order = np.random.default_rng(seed).permutation(names)
    fold = dict(zip(order, np.arange(len(names)) % FOLDS, strict=True))
    return np.array([fold[group] for group in groups], np.int64)


def held_out_probabilities(logits: Floats, abnormal: Bools, groups: Sequence[str]) -> Floats:
    """[K, N] logits -> [N] probabilities, each by the calibration of the other nine tenths of the groups: what
    calibration is worth on pictures that it has not seen."""
    fold, result = folds_of(groups), np.zeros(logits.shape[1])
    for k in np.unique(fold):
        inside = fold == k
        result[inside] = probabilities(logits[:, inside], fit_calibration(logits[:, ~inside], abnormal[~inside]))
    return result


def cross_validated_threshold(scores: Floats, abnormal: Bools, groups: Sequence[str]) -> float:
    """[M] study scores -> the threshold of THRESHOLD_RULE. Raises InputError when all scores are one."""
    fold = folds_of(groups)
    chosen = [best_threshold(scores[fold != k], abnormal[fold != k]) for k in np.unique(fold)]
    return round(float(np.median(chosen)), 4)


def best_threshold(scores: Floats, abnormal: Bools) -> float:
    """[M] study scores -> the threshold of highest kappa; among equals the middle one of the longest run, midway
    between neighbouring scores. Raises InputError when all scores are one."""
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


def held_out_decisions(scores: Floats, abnormal: Bools, groups: Sequence[str]) -> Bools:
    """[M] decisions, each by a threshold chosen on the other nine tenths of the groups: what the threshold rule is
    worth on studies that it has not seen."""
    fold, called = folds_of(groups), np.zeros(len(scores), bool)
    for k in np.unique(fold):
        inside = fold == k
        called[inside] = scores[inside] > best_threshold(scores[~inside], abnormal[~inside])
    return called
