"""Patients with several studies: what their studies together are worth, in independent studies."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mura_batch.agreement.quantiles import Z95, t95

FEWEST_PATIENTS = 10  # fewer show too little of the spread between patients to estimate a design effect
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Clusters:
    """codes: [n] the number of each study's patient, from 0. count: how many patients."""

    codes: NDArray[np.intp]
    count: int

    @property
    def are_single(self) -> bool:
        """Whether no patient has several studies."""
        return self.count == len(self.codes)

    def totals(self, values: Floats) -> Floats:
        """[n] values of studies -> [count] their sum over each patient."""
        return np.bincount(self.codes, weights=values, minlength=self.count).astype(np.float64, copy=False)

    def count_of(self, chosen: NDArray[np.bool_]) -> int:
        """How many patients the chosen [n] studies are of."""
        return int(np.count_nonzero(np.bincount(self.codes[chosen])))


def independent(n: int) -> Clusters:
    """n studies of as many patients."""
    return Clusters(np.arange(n), n)


def clusters_of(patients: Sequence[Hashable]) -> Clusters:
    numbers = {patient: n for n, patient in enumerate(dict.fromkeys(patients))}
    return Clusters(np.fromiter((numbers[patient] for patient in patients), np.intp, len(patients)), len(numbers))


def clustered_variance(influence: Floats, clusters: Clusters) -> float:
    """Of the mean of [n] influence values whose mean is 0: the linearised (ratio) estimator between patients, with
    G / (G - 1) for G patients (Rao & Scott, Biometrics 48, 1992). With one study a patient it is the usual variance."""
    between = float((clusters.totals(influence) ** 2).sum()) / len(influence) ** 2
    return between * clusters.count / max(1, clusters.count - 1)


def effective_size(influence: Floats, clusters: Clusters) -> float:
    """How many independent studies carry as much as these: n over the design effect, never more than n (Rao & Scott
    1992), and fewer where few patients give the design effect (Korn & Graubard, Survey Methodology 24, 1998).

    With fewer than FEWEST_PATIENTS, and where influence values of 0 show no spread (complete agreement, say), the
    studies of a patient are taken to agree (Kish, Survey Sampling, 1965): the largest design effect that there can be.
    """
    n = len(influence)
    if clusters.are_single:
        return float(n)
    alone = float((influence**2).sum()) / n**2
    if clusters.count < FEWEST_PATIENTS or alone <= np.finfo(np.float64).eps / n:
        return n * n / float((np.bincount(clusters.codes) ** 2).sum())
    effect = max(1.0, clustered_variance(influence, clusters) / alone)
    return n / effect * (Z95 / t95(clusters.count - 1)) ** 2
