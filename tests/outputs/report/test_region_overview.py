"""The table by region."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mura_batch.outputs.csv_tables import CsvTables
from mura_batch.outputs.report.region_overview import by_region
from mura_batch.outputs.sink import RunInfo
from mura_batch.records import Laterality, Region, StudyScore, StudyStatus

RunInfoMaker = Callable[..., RunInfo]


def study(region: Region, score: float | None) -> StudyScore:
    status = StudyStatus.SKIPPED if score is None else StudyStatus.SCORED
    abnormal = None if score is None else score > 0.5
    return StudyScore(
        "1.2", "=A1", "p", "", region, Laterality.LEFT, 1, int(score is not None), score, abnormal, 0.5, status
    )


def test_each_region_has_a_line_with_counts_share_and_median(tmp_path: Path, run_info: RunInfoMaker) -> None:
    with CsvTables(run_info(tmp_path)) as tables:
        for score in (0.1, 0.2, 0.9):
            tables.study(study(Region.HAND, score), [])
        tables.study(study(Region.WRIST, None), [])
        tables.study(study(Region.WRIST, 0.7), [])
    hand, wrist = by_region(tmp_path / "studies.csv", ("hand",))
    assert (hand.region, hand.rows, hand.scored, hand.abnormal, hand.trained) == ("hand", 3, 3, 1, True)
    assert hand.share == pytest.approx(1 / 3)
    assert hand.median == pytest.approx(0.2)
    assert (wrist.rows, wrist.scored, wrist.share, wrist.trained) == (2, 1, 1.0, False)


def test_a_region_without_a_score_has_no_share_and_no_median(tmp_path: Path, run_info: RunInfoMaker) -> None:
    with CsvTables(run_info(tmp_path)) as tables:
        tables.study(study(Region.OTHER, None), [])
    (line,) = by_region(tmp_path / "studies.csv", ())
    assert (line.rows, line.scored, line.share, line.median) == (1, 0, None, None)


def test_a_run_without_studies_has_no_line(tmp_path: Path, run_info: RunInfoMaker) -> None:
    with CsvTables(run_info(tmp_path)):
        pass
    assert by_region(tmp_path / "studies.csv", ()) == ()
