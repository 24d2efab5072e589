"""Figures of a model on one split, with 95 % intervals, by mura_batch.agreement: the same code that scores a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mura_batch.agreement.curves import rate, roc_auc_score
from mura_batch.agreement.estimate import Estimate
from mura_batch.agreement.kappa import cohen_kappa_score
from train.calibrate import Bools, Floats, held_out_decisions
from train.data.examples import Studies

FEWEST = 5  # normal and abnormal studies that a region needs before a figure of its own says anything


@dataclass(frozen=True, slots=True)
class Table:
    """Counts of decisions against truth."""

    true_normal: int
    false_abnormal: int
    false_normal: int
    true_abnormal: int

    def rows(self) -> list[list[int]]:
        """[[normal called normal, normal called abnormal], [abnormal called normal, abnormal called abnormal]]"""
        return [[self.true_normal, self.false_abnormal], [self.false_normal, self.true_abnormal]]

    @property
    def n(self) -> int:
        return self.true_normal + self.false_abnormal + self.false_normal + self.true_abnormal

    @property
    def accuracy(self) -> Estimate:
        return rate(self.true_normal + self.true_abnormal, self.n)

    @property
    def sensitivity(self) -> Estimate:
        return rate(self.true_abnormal, self.true_abnormal + self.false_normal)

    @property
    def specificity(self) -> Estimate:
        return rate(self.true_normal, self.true_normal + self.false_abnormal)


def table_of(abnormal: Bools, called: Bools) -> Table:
    return Table(
        int((~abnormal & ~called).sum()), int((~abnormal & called).sum()),
        int((abnormal & ~called).sum()), int((abnormal & called).sum()),
    )  # fmt: skip


def figures(studies: Studies, scores: Floats, threshold: float, split: str) -> dict[str, Any]:
    """scores: [M] per study. The whole split and each region; and the kappa of decisions by thresholds chosen on other
    studies, beside the one at `threshold`, which was perhaps chosen on these."""
    held_out = held_out_decisions(scores, studies.abnormal, studies.groups)
    note = "each study decided by a threshold chosen on the studies of other groups, 10 folds"
    return {
        **of_decisions(studies.abnormal, scores, threshold, split),
        "kappa_threshold_held_out": {**_plain(kappa_of(table_of(studies.abnormal, held_out)), split), "note": note},
        "by_region": {
            name: of_decisions(studies.abnormal[inside], scores[inside], threshold, split)
            for name in studies.region_names
            if _enough(studies.abnormal[inside := studies.of_region(name)])
        },
    }


def kappa_of(table: Table) -> Estimate:
    return cohen_kappa_score(table.rows())


def of_decisions(abnormal: Bools, scores: Floats, threshold: float, split: str) -> dict[str, Any]:
    """Figures of `score > threshold`, each with value, low, high, method, n and split; and the table itself."""
    table = table_of(abnormal, scores > threshold)
    estimates = {
        "auroc": roc_auc_score(abnormal, scores),
        "kappa": kappa_of(table),
        "accuracy": table.accuracy,
        "sensitivity": table.sensitivity,
        "specificity": table.specificity,
    }
    return {**{name: _plain(estimate, split) for name, estimate in estimates.items()}, "table": table.rows()}


def _enough(abnormal: Bools) -> bool:
    return min(int(abnormal.sum()), int((~abnormal).sum())) >= FEWEST


def _plain(estimate: Estimate, split: str) -> dict[str, Any]:
    """As a card stores it: four decimals, more than the interval deserves; None where it is undefined."""
    value, low, high = (
        None if np.isnan(x) else round(float(x), 4) for x in (estimate.value, estimate.low, estimate.high)
    )
    told = {"value": value, "low": low, "high": high, "method": estimate.method, "n": estimate.n, "split": split}
    return {**told, "reason": estimate.reason} if estimate.reason else told
