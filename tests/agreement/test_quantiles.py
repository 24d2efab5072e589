"""Student's t against SciPy."""

from __future__ import annotations

import pytest
from scipy import stats

from mura_batch.agreement.quantiles import Z95, t95


@pytest.mark.parametrize("degrees", [1, 1.5, 2, 3.7, 5, 9, 29, 120.5, 999, 9999])
def test_t_quantiles_equal_those_of_scipy(degrees: float) -> None:
    assert t95(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), abs=2e-6)


def test_many_degrees_of_freedom_give_the_normal_quantile() -> None:
    assert t95(1e6) == Z95
    assert t95(9999) == pytest.approx(Z95, abs=3e-4)


@pytest.mark.parametrize("degrees", [0, -1, 0.5, float("nan")])
def test_less_than_one_degree_of_freedom_is_an_error(degrees: float) -> None:
    with pytest.raises(ValueError, match="degree of freedom"):
        t95(degrees)
