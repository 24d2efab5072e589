"""Distances of images from a model's training images, and the file that they are computed from."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from mura_batch.errors import ModelError
from mura_batch.model_card import FEATURES_NAME, Model
from mura_batch.runtime.feature_distance import FeatureStatistics, read_statistics, write_statistics
from mura_batch.runtime.outlier_limit import outlier_limit

FEATURES, RANK = 40, 7


@pytest.fixture
def statistics() -> FeatureStatistics:
    rng = np.random.default_rng(1)
    directions = np.linalg.qr(rng.normal(size=(FEATURES, RANK)))[0].T
    return FeatureStatistics(
        mean=rng.normal(size=FEATURES), directions=directions, variances=rng.uniform(1, 50, RANK),
        residual=rng.uniform(0.1, 2, FEATURES), limit=80.5, quantile=0.99, shrinkage=0.02, pictures=500, held_out=90,
        share_of_variance=0.93,
    )  # fmt: skip


def test_distances_are_those_of_the_whole_covariance(statistics: FeatureStatistics) -> None:
    covariance = statistics.directions.T @ np.diag(statistics.variances) @ statistics.directions
    covariance += np.diag(statistics.residual)
    features = np.random.default_rng(2).normal(size=(30, FEATURES)) * 3
    apart = features - statistics.mean
    expected = np.einsum("nf,fg,ng->n", apart, np.linalg.inv(covariance), apart)
    np.testing.assert_allclose(statistics.distances(features.astype(np.float32)), expected, rtol=1e-5)


def test_written_statistics_give_the_same_distances(statistics: FeatureStatistics, tmp_path: Path) -> None:
    write_statistics(statistics, tmp_path)
    again = read_statistics(tmp_path / FEATURES_NAME)
    features = np.random.default_rng(3).normal(size=(30, FEATURES)) * 3
    np.testing.assert_allclose(again.distances(features), statistics.distances(features), rtol=1e-3)
    assert (again.limit, again.quantile, again.pictures, again.held_out) == (80.5, 0.99, 500, 90)


def test_the_limit_is_read_without_the_rest(statistics: FeatureStatistics, tmp_path: Path) -> None:
    write_statistics(statistics, tmp_path)
    model = SimpleNamespace(folder=tmp_path, has_feature_statistics=True)
    assert outlier_limit(cast(Model, model)) == 80.5
    (tmp_path / FEATURES_NAME).write_bytes(b"no archive")
    with pytest.raises(ModelError, match="cannot be read"):
        outlier_limit(cast(Model, model))


def test_an_image_of_not_finite_features_has_no_distance(statistics: FeatureStatistics) -> None:
    features = np.zeros((2, FEATURES), np.float32)
    features[1, 0] = np.nan
    assert np.isfinite(statistics.distances(features)).tolist() == [True, False]


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut short"])
def test_a_damaged_file_is_an_error_with_its_remedy(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FEATURES_NAME).write_bytes(content)
    with pytest.raises(ModelError, match="make it again with python -m train features"):
        read_statistics(tmp_path / FEATURES_NAME)


def test_a_file_without_a_limit_is_an_error(statistics: FeatureStatistics, tmp_path: Path) -> None:
    np.savez(tmp_path / FEATURES_NAME, mean=statistics.mean, allow_pickle=False)
    with pytest.raises(ModelError, match="cannot be read"):
        read_statistics(tmp_path / FEATURES_NAME)
