"""Several readers of the same studies: each against each, all together, and the model beside each of them.

A reader who is part of the majority agrees with it more than the model can. So reader and model are both held against
the majority of the other readers, on the same studies.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mura_batch.agreement.clusters import clustered_variance, clusters_of, effective_size
from mura_batch.agreement.estimate import Estimate, undefined, without_interval
from mura_batch.agreement.kappa import COLLAPSED, clustered_kappa_score
from mura_batch.agreement.quantiles import Z95
from mura_batch.agreement.truth import Case

FLEISS = "linearised between patients (Fleiss 1971; Rao, Scott 1992)"
FLEISS_JEFFREYS = "Jeffreys: Dirichlet(1/2) on the number of abnormal calls of a study, effective number by patient"
NO_COMMON = "no study was read by all readers"
ONE_CLASS = "the readers gave one and the same class only"
MOST_READERS = 20  # that are compared with each other: 190 pairs; a thousand columns would be half a million
_SEED = 0
_DRAWS = 50_000  # a limit would move by 0.01 of a standard error with the seed
_NO_ERROR = 1e-6  # a standard error below it is rounding
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ReaderPair:
    """Kappa of two readers on the n studies that both have read."""

    first: str
    second: str
    n: int
    kappa: Estimate


@dataclass(frozen=True, slots=True)
class AgainstOthers:
    """A reader and the model, each against the majority of the other readers, on the same n studies: those that the
    reader has read, that have a score, and on which the others have a majority. undecided: studies left out because the
    others are equally divided."""

    reader: str
    n: int
    undecided: int
    reader_kappa: Estimate
    model_kappa: Estimate


@dataclass(frozen=True, slots=True)
class BetweenReaders:
    """names: of the readers, at least two. pairs: each against each, in the order of names. fleiss: kappa of all
    readers together, on the studies that all have read. others: one for each reader, in the order of names. Both are
    empty where there are more than MOST_READERS."""

    names: tuple[str, ...]
    pairs: tuple[ReaderPair, ...]
    fleiss: Estimate
    others: tuple[AgainstOthers, ...]


def between_readers(names: Sequence[str], cases: Sequence[Case]) -> BetweenReaders | None:
    """None where there are fewer than two readers or no case. names: of the readers, as in each case. With more than
    MOST_READERS only Fleiss' kappa is computed."""
    if len(names) < 2 or not cases:
        return None
    numbers = range(len(names)) if len(names) <= MOST_READERS else range(0)
    return BetweenReaders(
        names=tuple(names),
        pairs=tuple(_pair(names, a, b, cases) for a, b in combinations(numbers, 2)),
        fleiss=_fleiss_of(cases),
        others=tuple(_against_others(names[n], n, cases) for n in numbers),
    )


def _pair(names: Sequence[str], a: int, b: int, cases: Sequence[Case]) -> ReaderPair:
    both = [(x, y, case.patient) for case in cases if (x := case.readers[a]) is not None
            and (y := case.readers[b]) is not None]  # fmt: skip
    return ReaderPair(names[a], names[b], len(both), _kappa(both))


def _against_others(name: str, n: int, cases: Sequence[Case]) -> AgainstOthers:
    of_reader: list[tuple[int, int, Hashable]] = []
    of_model: list[tuple[int, int, Hashable]] = []
    undecided = 0
    for case in cases:
        own = case.readers[n]
        votes = [label for k, label in enumerate(case.readers) if k != n and label is not None]
        if own is None or not votes:
            continue
        if 2 * sum(votes) == len(votes):
            undecided += 1
            continue
        majority = int(2 * sum(votes) > len(votes))
        of_reader.append((majority, own, case.patient))
        of_model.append((majority, int(case.abnormal), case.patient))
    return AgainstOthers(name, len(of_model), undecided, _kappa(of_reader), _kappa(of_model))


def _kappa(labels: Sequence[tuple[int, int, Hashable]]) -> Estimate:
    if not labels:
        return undefined("none", 0, "no study in common")
    first, second, patients = zip(*labels, strict=True)
    return clustered_kappa_score(first, second, patients)


def _fleiss_of(cases: Sequence[Case]) -> Estimate:
    read = [(sum(label or 0 for label in case.readers), case) for case in cases if None not in case.readers]
    if not read:
        return undefined(FLEISS_JEFFREYS, 0, NO_COMMON)
    counts = [(len(case.readers) - abnormal, abnormal) for abnormal, case in read]
    return fleiss_kappa_score(counts, [case.patient for _, case in read])


def fleiss_kappa_score(counts: ArrayLike, patients: Sequence[Hashable]) -> Estimate:
    """counts: [n, k] how many readers put each study into each of k >= 2 classes, the same number of readers, at least
    two, for every study (Fleiss, Psychological Bulletin 76, 1971). patients: [n].

    Two classes get Jeffreys' interval, more of them value -+ 1.96 se within [-1, 1]. Undefined where all readers gave
    one class only. Raises ValueError on other counts.
    """
    table = _checked(counts)
    if len(table) != len(patients):
        raise ValueError(f"one patient for each study: {len(table)} and {len(patients)}")
    n, readers = len(table), float(table[0].sum())
    method = FLEISS_JEFFREYS if table.shape[1] == 2 else FLEISS
    if (table.sum(axis=0) > 0).sum() == 1:
        return undefined(method, n, ONE_CLASS)
    value, influence = _fleiss(table, readers)
    clusters = clusters_of(patients)
    se = math.sqrt(clustered_variance(influence, clusters))
    if method == FLEISS_JEFFREYS:
        shares = np.bincount(table[:, 1].astype(np.intp), minlength=int(readers) + 1) / n
        low, high = _jeffreys(shares, effective_size(influence, clusters))
        return Estimate(value, min(low, value), max(high, value), method, n, se if se > _NO_ERROR else math.nan)
    if se < _NO_ERROR:
        return without_interval(value, method, n, COLLAPSED)
    return Estimate(value, max(-1.0, value - Z95 * se), min(1.0, value + Z95 * se), method, n, se)


def _checked(counts: ArrayLike) -> Floats:
    table = np.asarray(counts, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2 or not len(table):
        raise ValueError(f"counts are [n, k], at least one study and two classes, not {table.shape}")
    readers = table.sum(axis=1)
    if (table < 0).any() or readers.min() != readers.max() or readers[0] < 2:
        raise ValueError("each study has the same number of readers, at least two, and counts are not negative")
    return table


def _fleiss(table: Floats, readers: float) -> tuple[float, Floats]:
    """Kappa, and [n] what each study does to it, times n; its mean is 0."""
    agreed = ((table**2).sum(axis=1) - readers) / (readers * (readers - 1))
    shares = table / readers
    p = shares.mean(axis=0)
    observed, expected = float(agreed.mean()), float(p @ p)
    slope = (agreed - observed) / (1 - expected)
    slope = slope - 2 * (shares @ p - expected) * (1 - observed) / (1 - expected) ** 2
    return (observed - expected) / (1 - expected), slope


def _jeffreys(shares: Floats, effective: float) -> tuple[float, float]:
    """2.5 % and 97.5 % quantiles of kappa, where the shares [readers + 1] of studies that 0, 1, ... readers call
    abnormal have a Dirichlet posterior after `effective` studies, and half a study in each before them."""
    readers = len(shares) - 1
    abnormal = np.arange(readers + 1)
    drawn = np.random.default_rng(_SEED).standard_gamma(shares * effective + 0.5, (_DRAWS, readers + 1))
    drawn /= drawn.sum(axis=1, keepdims=True)
    agreed = (abnormal * (abnormal - 1) + (readers - abnormal) * (readers - abnormal - 1)) / (readers * (readers - 1))
    p = drawn @ (abnormal / readers)
    expected = p**2 + (1 - p) ** 2
    low, high = np.quantile((drawn @ agreed - expected) / (1 - expected), (0.025, 0.975))
    return float(low), float(high)
