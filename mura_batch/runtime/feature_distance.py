"""How far an image is from a model's training images: the squared Mahalanobis distance of its `features`.

A picture that is far away is of another kind than those that the model learned from: an animal, another region, an
upside-down exposure. `features.npz` of the model folder holds what the distance needs, and only aggregates of training
pictures: mean and shrunk covariance, as a low rank plus a diagonal, and the limit that export chose. `python -m train`
writes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from mura_batch.errors import ModelError
from mura_batch.model_card import FEATURES_NAME, Model

Floats = NDArray[np.float64]
_UNUSABLE = (OSError, ValueError, KeyError, EOFError, BadZipFile)  # what numpy raises of a damaged file


@dataclass(frozen=True)
class FeatureStatistics:
    """mean: [F]. directions: [K, F] orthonormal, variances: [K], residual: [F] > 0; the covariance is directions.T @
    diag(variances) @ directions + diag(residual). limit: a greater distance makes an outlier; quantile: the share of
    held-out pictures of the training data at or below it. shrinkage: of the covariance, 0 to 1. pictures, held_out: how
    many. share_of_variance: what the directions explain of it."""

    mean: Floats
    directions: Floats
    variances: Floats
    residual: Floats
    limit: float
    quantile: float
    shrinkage: float
    pictures: int
    held_out: int
    share_of_variance: float

    def distances(self, features: NDArray[np.floating]) -> Floats:
        """[N, F] -> [N] squared Mahalanobis distances."""
        whitened = (features - self.mean) / np.sqrt(self.residual)
        along = whitened @ self._inward
        return np.asarray((whitened**2).sum(axis=1) - (along**2).sum(axis=1))

    @cached_property
    def _inward(self) -> Floats:
        """[F, K] what the inverse of the covariance takes off the inverse of its diagonal (Woodbury's identity)."""
        scaled = self.directions / np.sqrt(self.residual)
        middle = np.diag(1 / self.variances) + scaled @ scaled.T
        return np.asarray(np.linalg.solve(np.linalg.cholesky(middle), scaled).T)


def load_statistics(model: Model) -> FeatureStatistics | None:
    """None where the model folder has none. Raises ModelError where they cannot be read."""
    return read_statistics(model.folder / FEATURES_NAME) if model.has_feature_statistics else None


def read_statistics(path: Path) -> FeatureStatistics:
    """Raises ModelError that says how to make it again."""
    try:
        with path.open("rb") as file, np.load(file) as arrays:  # numpy leaves a damaged file open by itself
            values = {name: np.asarray(arrays[name], np.float64) for name in ("mean", "variances", "residual")}
            scale, steps = arrays["scale"].astype(np.float64), arrays["directions"].astype(np.float64)
            numbers = {name: float(arrays[name]) for name in ("limit", "quantile", "shrinkage", "share_of_variance")}
            counts = {name: int(arrays[name]) for name in ("pictures", "held_out")}
    except _UNUSABLE as error:
        raise _unreadable(path, error) from error
    return FeatureStatistics(directions=steps * scale[:, None], **values, **numbers, **counts)  # type: ignore[arg-type]


def write_statistics(statistics: FeatureStatistics, folder: Path) -> None:
    """Into a model folder. A direction is written in steps of 1 / 32767 of its largest element: half the bytes of
    float32, and no distance moves by more than a thousandth."""
    scale = np.abs(statistics.directions).max(axis=1) / 32767
    np.savez_compressed(
        folder / FEATURES_NAME,
        allow_pickle=False,
        mean=statistics.mean.astype(np.float32),
        scale=scale.astype(np.float32),
        directions=np.rint(statistics.directions / scale[:, None]).astype(np.int16),
        variances=statistics.variances.astype(np.float32),
        residual=statistics.residual.astype(np.float32),
        **{name: np.float64(getattr(statistics, name)) for name in _NUMBERS},
        **{name: np.int64(getattr(statistics, name)) for name in _COUNTS},
    )


_NUMBERS = ("limit", "quantile", "shrinkage", "share_of_variance")
_COUNTS = ("pictures", "held_out")


def _unreadable(path: Path, error: Exception) -> ModelError:
    return ModelError(f"{path} cannot be read ({error}): make it again with python -m train features")
