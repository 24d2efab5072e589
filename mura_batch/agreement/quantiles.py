"""Quantiles that 95 % intervals need, without SciPy: the package needs nothing more than NumPy."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np

Z95 = NormalDist().inv_cdf(0.975)  # 1.959964: two-sided 95 %
_T95_OF_1 = 12.706205  # Student's t with one degree of freedom, the largest that is given
_NODES = np.linspace(0.0, 1.0, 257)
_SIMPSON = np.concatenate([[1.0], np.tile([4.0, 2.0], 127), [4.0, 1.0]]) / (3 * 256)


@lru_cache(maxsize=4096)
def t95(degrees: float) -> float:
    """Two-sided 95 % quantile of Student's t, to six decimals. degrees: of freedom, >= 1, need not be whole; from
    10,000 on the normal quantile is given. Raises ValueError on degrees below 1."""
    if not degrees >= 1:
        raise ValueError(f"Student's t needs at least 1 degree of freedom, not {degrees}")
    if degrees >= 1e4:
        return Z95
    low, high = Z95, _T95_OF_1
    while high - low > 1e-7:
        middle = (low + high) / 2
        if _central_share(middle, degrees) < 0.95:
            low = middle
        else:
            high = middle
    return high


def _central_share(t: float, degrees: float) -> float:
    """P(|T| < t): with t = sqrt(degrees) tan(angle) it is an integral of cos(angle) ** (degrees - 1), by Simpson."""
    angle = math.atan(t / math.sqrt(degrees))
    integral = angle * float(_SIMPSON @ np.cos(angle * _NODES) ** (degrees - 1))
    half_beta = 0.5 * math.sqrt(math.pi) * math.exp(math.lgamma(degrees / 2) - math.lgamma((degrees + 1) / 2))
    return integral / half_beta
