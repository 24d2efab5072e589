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

import numpy as np
from numpy.typing import NDArray

_NODES, _FINE = 65, 801  # of the two outer variables, and of the inner distribution function
_DROP = 18.0  # log density below its maximum, e^-18, where a variable's range ends
_SMALLEST = 1e-3  # shape of a beta variable; below it all its mass is at one end
_PRECISION = 1e-7
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

    return tuple(_solve(distribution, share) for share in shares)


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


def _solve(function: Callable[[float], float], wanted: float) -> float:
    """Where a rising function from -1 to 1 has a value: the Illinois method (Dowell & Jarratt, BIT 11, 1971)."""
    low, high = -1.0, 1.0
    at_low, at_high = -wanted, 1 - wanted
    last = 0.0
    while high - low > _PRECISION:
        middle = (low * at_high - high * at_low) / (at_high - at_low)
        found = function(middle) - wanted
        if abs(found) < _PRECISION:
            return middle
        again = found * last > 0  # the same end moved twice
        if found < 0:
            low, at_low, at_high = middle, found, at_high / 2 if again else at_high
        else:
            high, at_high, at_low = middle, found, at_low / 2 if again else at_low
        last = found
    return (low + high) / 2
