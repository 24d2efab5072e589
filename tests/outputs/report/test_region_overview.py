"""The table by region."""

from __future__ import annotations

import pytest

from mura_batch.outputs.report.region_overview import RegionCounts
from mura_batch.records import Laterality, Region, StudyScore, StudyStatus


def study(region: Region, score: float | None) -> StudyScore:
    status = StudyStatus.SKIPPED if score is None else StudyStatus.SCORED
    abnormal = None if score is None else score > 0.5
    return StudyScore(
        "1.2", "=A1", "p", "", region, Laterality.LEFT, 1, int(score is not None), score, abnormal, 0.5, status
    )


def test_each_region_has_a_line_with_counts_share_and_median() -> None:
    counts = RegionCounts()
    for score in (0.1, 0.2, 0.9):
        counts.add(study(Region.HAND, score))
    counts.add(study(Region.WRIST, None))
    counts.add(study(Region.WRIST, 0.7))
    hand, wrist = counts.lines(("hand",))
    assert (hand.region, hand.rows, hand.scored, hand.abnormal, hand.trained) == ("hand", 3, 3, 1, True)
    assert hand.share == pytest.approx(1 / 3)
    assert hand.median == pytest.approx(0.2)
    assert (wrist.rows, wrist.scored, wrist.share, wrist.trained) == (2, 1, 1.0, False)


def test_a_region_without_scores_has_no_share_or_median() -> None:
    counts = RegionCounts()
    counts.add(study(Region.OTHER, None))
    (line,) = counts.lines(())
    assert (line.rows, line.scored, line.share, line.median) == (1, 0, None, None)


def test_a_run_without_studies_has_no_line() -> None:
    assert RegionCounts().lines(()) == ()
