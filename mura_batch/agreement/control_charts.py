"""Control charts of a series whose values are standard normal while nothing changes: EWMA and two-sided CUSUM.

Limits follow from the average run length, the mean number of nights between false alarms. It is the solution of an
integral equation, by Gauss-Legendre quadrature (Vance, Journal of Quality Technology 18, 1986; for EWMA Crowder,
Technometrics 29, 1987). `drift` turns shares, means and mixes into such values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

LAMBDA = 0.1  # weight of the newest night: lasting shifts of half to one standard deviation are seen early
ALLOWANCE = 0.5  # CUSUM counts what exceeds half a standard deviation: best for a shift of one (Lucas & Crosier 1982)
_NODES = 60  # of the Gauss rule: run lengths are then right to five digits
_NORMAL = NormalDist()
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Limits:
    """Of the charts for one average run length. ewma: in standard deviations of the series itself. cusum: h."""

    run_length: float
    ewma: float
    cusum: float


@dataclass(frozen=True, slots=True)
class Chart:
    """[nights] each. rise and fall: the two sums of CUSUM. alarm: which nights' EWMA or CUSUM is beyond its limit."""

    ewma: tuple[float, ...]
    rise: tuple[float, ...]
    fall: tuple[float, ...]
    alarm: tuple[bool, ...]

    @property
    def is_up(self) -> bool:
        """Whether the values of the last nights are higher than they should be, rather than lower."""
        return self.rise[-1] >= self.fall[-1]

    @property
    def since(self) -> int:
        """The night from which on the sum that alarms was never 0."""
        sums = self.rise if self.is_up else self.fall
        return max((n + 1 for n, value in enumerate(sums[:-1]) if value == 0), default=0)


@lru_cache(maxsize=64)
def limits_for(run_length: float) -> Limits:
    """Limits with which each chart alone gives a false alarm every `run_length` nights on average; together they give
    fewer than two. Raises ValueError for less than 20 nights."""
    if not run_length >= 20:
        raise ValueError(f"an average run length is at least 20 nights, not {run_length:g}")
    spread = math.sqrt(LAMBDA / (2 - LAMBDA))
    ewma = _solve(lambda c: ewma_run_length(LAMBDA, c), run_length)
    return Limits(run_length, ewma * spread, _solve(lambda h: cusum_run_length(ALLOWANCE, h), run_length))


def _solve(length_of: Callable[[float], float], wanted: float) -> float:
    low, high = 0.5, 12.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        if length_of(middle) < wanted:
            low = middle
        else:
            high = middle
    return high


def chart(values: Sequence[float], limits: Limits) -> Chart:
    """values: standard normal while nothing changes; NaN, a night without data, leaves the charts as they were."""
    ewma = rise = fall = 0.0
    rows: list[tuple[float, float, float, bool]] = []
    for value in values:
        if not math.isnan(value):
            ewma += LAMBDA * (value - ewma)
            rise, fall = max(0.0, rise + value - ALLOWANCE), max(0.0, fall - value - ALLOWANCE)
        beyond = abs(ewma) > limits.ewma or max(rise, fall) > limits.cusum
        rows.append((ewma, rise, fall, beyond and not math.isnan(value)))
    columns = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Chart(*(tuple(column) for column in columns))


def cusum_run_length(k: float, h: float, mean: float = 0.0, head_start: float = 0.0, sides: int = 2) -> float:
    """Average run length of CUSUM with allowance k and limit h where values are N(mean, 1). head_start: of the sums at
    the beginning (Lucas & Crosier, Technometrics 24, 1982). sides: 1 for the upper sum alone."""
    up, up_at = _cusum_lengths(k, h, mean, head_start)
    if sides == 1:
        return float(up_at)
    down, down_at = _cusum_lengths(k, h, -mean, head_start)
    # Two sums that start at 0 never alarm together: 1/L = 1/up + 1/down (Kemp 1961); with head starts each, while it
    # runs, finds the other at 0 (Lucas & Crosier 1982, equation 2).
    return float((up_at * down + down_at * up - up * down) / (up + down))


def _cusum_lengths(k: float, h: float, mean: float, start: float) -> tuple[float, float]:
    """From 0 and from start: the integral equation (Page 1954; Vance, Journal of Quality Technology 18, 1986)."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    at, weight = (nodes + 1) * h / 2, weights * h / 2
    to_zero = _cdf(k - mean - np.append(0.0, at))
    density = _pdf(at[None, :] - np.append(0.0, at)[:, None] + k - mean) * weight[None, :]
    step = np.column_stack([to_zero, density])
    lengths = np.linalg.solve(np.eye(len(step)) - step, np.ones(len(step)))
    from_start = 1 + float(_cdf(np.array([k - mean - start]))[0]) * float(lengths[0])
    from_start += float(_pdf(at - start + k - mean) @ (weight * lengths[1:]))
    return float(lengths[0]), from_start


def ewma_run_length(weight: float, c: float, mean: float = 0.0) -> float:
    """Average run length of a two-sided EWMA that starts at 0, with fixed limits c times its own long-run standard
    deviation, where values are N(mean, 1) (Crowder, Technometrics 29, 1987)."""
    limit = c * math.sqrt(weight / (2 - weight))
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    at, step = nodes * limit, weights * limit / weight
    kernel = _pdf((at[None, :] - (1 - weight) * at[:, None]) / weight - mean) * step[None, :]
    lengths = np.linalg.solve(np.eye(len(at)) - kernel, np.ones(len(at)))
    return 1 + float(_pdf(at / weight - mean) @ (step * lengths))


def _pdf(x: Floats) -> Floats:
    return np.asarray(np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi))


def _cdf(x: Floats) -> Floats:
    return np.array([_NORMAL.cdf(float(value)) for value in x])
