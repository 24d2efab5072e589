"""The statistics by which an outlier's distance is measured."""

from __future__ import annotations

import numpy as np
import pytest

from mura_batch.errors import InputError
from train.deliver.feature_statistics import MAX_RANK, QUANTILE, ledoit_wolf, low_rank, statistics_of


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


def test_a_low_rank_keeps_the_diagonal_and_the_stated_share() -> None:
    rng = np.random.default_rng(3)
    scale = np.exp(-np.arange(300) / 30)
    rows = rng.normal(size=(2000, 300)) * scale
    covariance, _ = ledoit_wolf(rows)
    directions, variances, residual, share = low_rank(covariance)
    again = directions.T @ np.diag(variances) @ directions + np.diag(residual)
    np.testing.assert_allclose(again.diagonal(), covariance.diagonal(), rtol=1e-9)
    assert share == pytest.approx(variances.sum() / np.trace(covariance))
    assert share >= 0.99 or len(variances) == MAX_RANK
    assert np.abs(again - covariance).max() < 0.02 * covariance.max()


def test_the_limit_holds_the_stated_share_of_held_out_pictures() -> None:
    rng = np.random.default_rng(4)
    mixing = rng.normal(size=(20, 20))
    training, held_out = rng.normal(size=(900, 20)) @ mixing, rng.normal(size=(400, 20)) @ mixing
    statistics = statistics_of(training, held_out)
    assert (statistics.distances(held_out) <= statistics.limit).mean() == pytest.approx(QUANTILE, abs=0.005)
    assert statistics.distances(training).mean() == pytest.approx(20, rel=0.2)  # 20 with the whole covariance
    assert (statistics.distances(held_out + 30) > statistics.limit).all()


def test_too_few_pictures_are_an_error() -> None:
    with pytest.raises(InputError, match="1 training and 5 held-out pictures"):
        statistics_of(np.zeros((1, 3)), np.zeros((5, 3)))


def test_pictures_that_are_all_alike_have_a_distance() -> None:
    statistics = statistics_of(np.ones((5, 3)), np.ones((4, 3)))
    assert np.isfinite(statistics.distances(np.array([[1.0, 1.0, 2.0]]))).all()
