"""What other thresholds would give on the same cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mura_batch.agreement.curves import clustered_rate
from mura_batch.agreement.estimate import Estimate
from mura_batch.agreement.kappa import clustered_kappa_score
from mura_batch.agreement.truth import Case

THRESHOLDS = tuple(n / 10 for n in range(1, 10))
FIGURES = ("called_abnormal", "kappa", "sensitivity", "specificity", "ppv", "npv")


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """called_abnormal: the share of studies above the threshold."""

    threshold: float
    called_abnormal: Estimate
    kappa: Estimate
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate

    def figures(self) -> list[tuple[str, Estimate]]:
        return [(name, getattr(self, name)) for name in FIGURES]


def operating_points(cases: Sequence[Case], threshold: float | None) -> tuple[OperatingPoint, ...]:
    """At each of THRESHOLDS and at that of the run, in rising order. What is greater is called abnormal."""
    own = () if threshold is None else (threshold,)
    return tuple(_at(cases, value) for value in sorted({*THRESHOLDS, *own}))


def _at(cases: Sequence[Case], threshold: float) -> OperatingPoint:
    called = [case.score > threshold for case in cases]
    truth, patients = [bool(case.label) for case in cases], [case.patient for case in cases]

    def share(hits: Sequence[bool], among: Sequence[bool]) -> Estimate:
        chosen = [n for n, is_in in enumerate(among) if is_in]
        return clustered_rate([hits[n] for n in chosen], [patients[n] for n in chosen])

    normal, not_called = [not label for label in truth], [not call for call in called]
    return OperatingPoint(
        threshold,
        called_abnormal=clustered_rate(called, patients),
        kappa=clustered_kappa_score([*map(int, truth)], [*map(int, called)], patients),
        sensitivity=share(called, truth),
        specificity=share(not_called, normal),
        ppv=share(truth, called),
        npv=share(normal, not_called),
    )
