"""The statistics by which an outlier's distance is measured."""

from __future__ import annotations

import numpy as np
import pytest

from train.deliver.feature_statistics import ledoit_wolf


@pytest.mark.parametrize("shape", [(40, 60), (200, 10)])
def test_the_shrunk_covariance_is_scikit_learns(shape: tuple[int, int]) -> None:
    from sklearn.covariance import LedoitWolf

    rng = np.random.default_rng(1)
    rows = rng.normal(size=shape) @ rng.normal(size=(shape[1], shape[1]))
    known = LedoitWolf().fit(rows)
    covariance, shrinkage = ledoit_wolf(rows)
    assert shrinkage == pytest.approx(known.shrinkage_, abs=1e-9)
    np.testing.assert_allclose(covariance, known.covariance_, rtol=1e-9, atol=1e-9)


def test_fewer_pictures_than_features_have_an_inverse() -> None:
    covariance, shrinkage = ledoit_wolf(np.random.default_rng(0).normal(size=(20, 100)))
    assert 0 < shrinkage <= 1
    assert np.linalg.eigvalsh(covariance).min() > 1e-3


def test_pictures_that_are_all_alike_are_no_error() -> None:
    covariance, shrinkage = ledoit_wolf(np.ones((5, 3)))
    assert shrinkage == 1
    assert (covariance == 0).all()
