"""Fixtures for all tests: the shared real data, where it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

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
