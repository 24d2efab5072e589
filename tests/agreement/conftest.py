"""Study rows and truth files for the tests of agreement."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mura_batch.records import Laterality, Region, StudyScore, StudyStatus

StudyMaker = Callable[..., StudyScore]
TruthWriter = Callable[..., Path]


@pytest.fixture
def study() -> StudyMaker:
    """Makes a row of studies.csv; a score above 0.5 is abnormal."""

    def make(uid: str, score: float | None = 0.7, region: Region = Region.WRIST, **other: str) -> StudyScore:
        return StudyScore(
            study_uid=uid,
            accession=other.get("accession", f"A{uid}"),
            patient_key=other.get("patient_key", f"patient of {uid}"),
            study_date="20240101",
            region=region,
            laterality=Laterality(other.get("laterality", "R")),
            instances=1,
            scored=int(score is not None),
            score=score,
            abnormal=None if score is None else score > 0.5,
            threshold=0.5,
            status=StudyStatus.FAILED if score is None else StudyStatus.SCORED,
        )

    return make


@pytest.fixture
def truth_file(tmp_path: Path) -> TruthWriter:
    """Writes text to truth.csv."""

    def write(text: str, encoding: str = "utf-8") -> Path:
        path = tmp_path / "truth.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return write
