"""Quantiles of kappa where the four cells of its table have a Dirichlet distribution, by quadrature: the same limits on
every machine, right to four digits where 30 cases or more were counted, to three below.

The truth's share of abnormal cases, and the calls' shares among the abnormal and among the normal, are then
independent beta variables. For given values of the first and the last, kappa rises with the second, so its
distribution function is an expectation over two variables of the distribution function of the third.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

_NODES, _FINE = 65, 801  # of the two outer variables, and of the inner distribution function
_DROP = 18.0  # log density below its maximum, e^-18, where a variable's range ends
_SMALLEST = 1e-3  # shape of a beta variable; below it all its mass is at one end
_PRECISION = 1e-7
_TINY = 1e-12  # a share nearer to 0 or 1 says nothing of the distance
_NORMAL = NormalDist()
Floats = NDArray[np.float64]


def kappa_quantiles(shapes: Floats, shares: tuple[float, ...]) -> tuple[float, ...]:
    """shapes: [4] parameters of the cells: both normal, called abnormal only, truth abnormal only, both abnormal.
    shares: between 0 and 1."""
    a, b, c, d = np.maximum(shapes, _SMALLEST).tolist()
    prevalence, false_alarms, hits = _beta(c + d, a + b, _NODES), _beta(b, a, _NODES), _beta(d, c, _FINE)
    p, f = _logistic(prevalence.log_odds)[:, None], _logistic(false_alarms.log_odds)[None, :]
    weight = prevalence.mass[:, None] * false_alarms.mass[None, :]
    below = np.cumsum(hits.mass) - hits.mass / 2
    apart, slope = 2 * p * (1 - p), p * (1 - 2 * p)
    level = p + (1 - 2 * p) * (1 - p) * f

    def distribution(kappa: float) -> float:
        """Chance of a lower kappa. The share of hits at which kappa is reached solves a linear equation."""
        over, under = kappa * level + apart * f, apart - kappa * slope
        odds = np.where(under > over, np.maximum(over, 1e-300) / np.maximum(under - over, 1e-300), 1e300)
        return float((weight * np.interp(np.log(odds), hits.log_odds, below, left=0.0, right=1.0)).sum())

    middle = 2 * (a * d - b * c) / ((a + b) * (b + d) + (a + c) * (c + d))
    scale = math.sqrt((1 - middle**2) / (a + b + c + d))
    return tuple(_solve(distribution, share, middle, scale) for share in shares)


@dataclass(frozen=True, slots=True)
class _Beta:
    """[n] nodes and the probability that each stands for."""

    log_odds: Floats
    mass: Floats


def _beta(a: float, b: float, n: int) -> _Beta:
    """Of Beta(a, b). In log odds the density is smooth whatever a and b; sinh spreads the nodes over its tails."""
    middle, scale = math.log(a / b), min(1.0, math.sqrt(1 / a + 1 / b))
    low, high = (_end(a, b, sign) for sign in (-1, 1))
    at = np.linspace(math.asinh((low - middle) / scale), math.asinh((high - middle) / scale), n)
    log_odds = middle + scale * np.sinh(at)
    density = a * log_odds - (a + b) * np.logaddexp(0, log_odds)
    mass = np.exp(density - density.max()) * np.cosh(at)
    return _Beta(log_odds, mass / mass.sum())


def _end(a: float, b: float, sign: int) -> float:
    def density(log_odds: float) -> float:
        return a * log_odds - (a + b) * float(np.logaddexp(0, log_odds))

    middle, step = math.log(a / b), math.sqrt(1 / a + 1 / b)
    while density(middle + sign * step) > density(middle) - _DROP:
        step *= 1.25
    return middle + sign * step


def _logistic(log_odds: Floats) -> Floats:
    return np.asarray(np.exp(-np.logaddexp(0, -log_odds)))


def _solve(function: Callable[[float], float], wanted: float, middle: float, scale: float) -> float:
    """Where a distribution function on -1 to 1 has a value: secants through its normal quantiles, which lie nearly on
    a line, and halving where a secant leaves the bracket. middle, scale: guesses of its median and spread."""
    target, low, high = _NORMAL.inv_cdf(wanted), -1.0, 1.0
    at = before = middle
    slope, off_before = 1 / scale, math.nan
    while high - low > _PRECISION:
        share = function(at)
        if abs(share - wanted) < _PRECISION:
            break
        low, high = (at, high) if share < wanted else (low, at)
        off = _NORMAL.inv_cdf(min(max(share, _TINY), 1 - _TINY)) - target
        if at != before and off != off_before:
            slope = (off - off_before) / (at - before)
        before, off_before = at, off
        at -= off / slope
        if not low < at < high:
            at = (low + high) / 2
    return at
