"""Figures of a model on one split, with 95 % intervals, by mura_batch.agreement: the same code that scores a run."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mura_batch.agreement.calibration import (
    brier_score_loss,
    calibration_line,
    expected_calibration_error,
    reliability_bins,
)
from mura_batch.agreement.estimate import Estimate
from mura_batch.agreement.group import Group, group_of
from mura_batch.agreement.kappa import clustered_kappa_score
from mura_batch.agreement.truth import Case
from train.data.examples import Example, Studies, labels_of, studies_of
from train.measure.calibrate import Floats, held_out_decisions

FEWEST = 5  # normal and abnormal studies that a region needs before its own figures are given


def figures(studies: Studies, scores: Floats, threshold: float, split: str) -> dict[str, Any]:
    """scores: [M] per study. The whole split and each region; and the kappa of decisions by thresholds chosen on other
    studies, beside the one at `threshold`, which was perhaps chosen on these."""
    rows = zip(studies.keys, studies.groups, studies.regions, studies.abnormal, scores, strict=True)
    cases = [_case(*row, threshold) for row in rows]
    called = held_out_decisions(scores, studies.abnormal, studies.groups)
    held_out = clustered_kappa_score([c.label for c in cases], called.astype(int).tolist(), studies.groups)
    note = "each study decided by a threshold chosen on the studies of other groups, 10 folds"
    # first, because it is the one to quote
    return {"kappa_threshold_held_out": {**_plain(held_out, split), "note": note}, **_broken_down(cases, split)}


def picture_figures(examples: Sequence[Example], scores: Floats, threshold: float, split: str) -> dict[str, Any]:
    """scores: [N] per picture. The whole split and each region, each picture decided by itself. A picture belongs to
    the group of its study, whatever its own is called: pictures of one study are never independent."""
    studies = studies_of(examples)
    rows = zip(examples, studies.member, scores, strict=True)
    cases = [_case(e.study, studies.groups[row], e.region, e.abnormal, score, threshold) for e, row, score in rows]
    return _broken_down(cases, split)


def calibration_figures(examples: Sequence[Example], probability: Floats, split: str) -> dict[str, Any]:
    """probability: [N] per picture. Slope, intercept, Brier score and calibration error, overall and for each region
    that has FEWEST normal and abnormal pictures; reliability: bins of equal count for a figure."""
    studies, truth = studies_of(examples), labels_of(examples)
    groups = [studies.groups[row] for row in studies.member]
    names = sorted({part for e in examples for part in e.regions})
    inside = {name: np.array([name in e.regions for e in examples]) for name in names}
    enough = [n for n in names if min(truth[inside[n]].sum(), (1 - truth[inside[n]]).sum()) >= FEWEST]
    bins = reliability_bins(truth, probability, groups)
    return {
        **_calibration(truth, probability, groups, split),
        "by_region": {
            name: _calibration(
                truth[inside[name]], probability[inside[name]], list(compress(groups, inside[name])), split
            )
            for name in enough
        },
        "reliability": [
            {
                "predicted": round(b.predicted, 4),
                "observed": round(b.observed.value, 4),
                "low": round(b.observed.low, 4),
                "high": round(b.observed.high, 4),
                "n": b.observed.n,
            }
            for b in bins
        ],
    }


def _calibration(
    truth: NDArray[np.float32], probability: Floats, groups: Sequence[str], split: str
) -> dict[str, dict[str, Any]]:
    slope, intercept = calibration_line(truth, probability, groups)
    measured = {
        "slope": slope,
        "intercept": intercept,
        "brier": brier_score_loss(truth, probability, groups),
        "calibration_error": expected_calibration_error(truth, probability, groups),
    }
    return {name: _plain(estimate, split) for name, estimate in measured.items()}


def _case(study: str, group: str, region: str, abnormal: bool, score: float, threshold: float) -> Case:
    """abnormal: the truth; what a Case calls so is the call."""
    return Case(study, group, region, "", int(abnormal), float(score), abnormal=bool(score > threshold))


def _broken_down(cases: Sequence[Case], split: str) -> dict[str, Any]:
    """Of all cases and of each region; a case of 'hand+wrist' counts for both. regions_left_out: the studies of each
    region that has too few for figures of its own."""
    names = sorted({part for case in cases for part in case.region.split("+")})
    inside = {name: [case for case in cases if name in case.region.split("+")] for name in names}
    studies = {name: _studies(of) for name, of in inside.items()}
    few = {name: counts for name, counts in studies.items() if min(counts.values()) < FEWEST}
    return {
        **_of_group(group_of("overall", cases), split),
        "by_region": {name: _of_group(group_of(name, of), split) for name, of in inside.items() if name not in few},
        "regions_left_out": few,
    }


def _studies(cases: Sequence[Case]) -> dict[str, int]:
    """How many there are of each label: studies, not pictures, for the pictures of one study are not independent."""
    labels = {"normal": 0, "abnormal": 1}
    return {name: len({case.study_uid for case in cases if case.label == label}) for name, label in labels.items()}


def _of_group(group: Group, split: str) -> dict[str, Any]:
    """Each figure with value, low, high, method, n and split; and the table (rows: truth; normal first)."""
    names = ("auroc", "kappa", "accuracy", "sensitivity", "specificity")
    table = [[group.true_negative, group.false_positive], [group.false_negative, group.true_positive]]
    return {**{name: _plain(getattr(group, name), split) for name in names}, "table": table}


def _plain(estimate: Estimate, split: str) -> dict[str, Any]:
    """As a card stores it: four decimals, more than the interval deserves; None where it is undefined."""
    plain = {name: round(value, 4) if isinstance(value, float) else value for name, value in estimate.as_json().items()}
    return {**plain, "split": split}
