"""Fixtures for all tests: the shared real data, and builders of records."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from mura_batch.records import (
    Decoded,
    Instance,
    InstanceScore,
    Laterality,
    PixelDecisions,
    Region,
    RegionFinding,
    SourceFile,
)

# How long an example takes tells of the machine, not of the code: timing is for the benchmarks.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

SHARED = Path(os.environ.get("MURA_BATCH_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def _shared_folder(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(
            f"{name} is not there: the real test files lie outside the project; set MURA_BATCH_SHARED to their folder"
        )
    return folder


@pytest.fixture(scope="session")
def shared_dicom() -> Path:
    """200 real DICOM files with manifest.csv."""
    return _shared_folder("dicom")


@pytest.fixture(scope="session")
def fracatlas() -> Path:
    """3,415 real labelled radiographs with labels.csv."""
    return _shared_folder("fracatlas")


DECISIONS = PixelDecisions("native", 1, "none", "full range", None, None, "as stored", "MONOCHROME2", 1.0)


@pytest.fixture
def make_instance() -> Callable[..., Instance]:
    """make_instance(path, study, sop=path, patient=..., region=..., side=...)"""

    def make(
        path: str,
        study: str = "1.2",
        *,
        sop: str | None = None,
        patient: str = "p1",
        region: Region = Region.HAND,
        side: Laterality = Laterality.UNKNOWN,
    ) -> Instance:
        return Instance(
            source=SourceFile(path, 1000, 1_700_000_000_000_000_000, 1),
            sop_instance_uid=sop or f"1.2.3.{path}",
            sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1",
            study_uid=study,
            series_uid="1.2.9",
            patient_key=patient,
            accession="A1",
            study_date="20260101",
            modality="DX",
            region=RegionFinding(region, "code", "85562004", "high"),
            laterality=side,
            view_position="PA",
            transfer_syntax="1.2.840.10008.1.2.1",
            photometric="MONOCHROME2",
            rows=2000,
            columns=1600,
            bits_stored=12,
        )

    return make


@pytest.fixture
def make_score() -> Callable[..., InstanceScore]:
    """make_score(instance, probability, reused=False)"""

    def make(instance: Instance, probability: float, *, reused: bool = False, content: str = "") -> InstanceScore:
        return InstanceScore(
            Decoded(instance, content or f"hash-of-{instance.source.path}", DECISIONS), probability, reused
        )

    return make
