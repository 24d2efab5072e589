"""Quantiles of kappa under a Dirichlet distribution of its table, against very many draws."""

from __future__ import annotations

import numpy as np
import pytest

from mura_batch.agreement.kappa import kappas
from mura_batch.agreement.kappa_posterior import kappa_quantiles


@pytest.mark.parametrize(
    "table", [(40, 5, 3, 52), (45, 2, 1, 2), (90, 0, 0, 10), (10, 0, 0, 0), (0, 10, 10, 0), (3000, 60, 40, 1000)]
)
def test_limits_are_those_of_very_many_draws(table: tuple[int, ...]) -> None:
    shapes = np.array(table) + 0.5
    drawn = kappas(np.random.default_rng(1).standard_gamma(shapes, (400_000, 4)))
    low, high = kappa_quantiles(shapes, (0.025, 0.975))
    assert (low, high) == pytest.approx(tuple(np.quantile(drawn, (0.025, 0.975))), abs=0.02 * float(drawn.std()))
    assert low < np.median(drawn) < high


def test_a_cell_without_weight_has_limits() -> None:
    low, high = kappa_quantiles(np.array([500, 0, 3, 2.0]), (0.025, 0.975))
    assert -1 < low < high < 1
