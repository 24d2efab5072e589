"""Fixtures for all tests: the shared real data, and builders of records."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from record_builders import build_instance, build_score

from mura_batch.records import Instance, InstanceScore, Laterality, Region, RegionFinding

# How long an example takes tells of the machine, not of the code: timing is for the benchmarks.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

SHARED = Path(os.environ.get("MURA_BATCH_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Training first: it takes longest. A worker takes a whole file, or all files that use the trained run."""
    items.sort(key=lambda item: "training" not in item.path.parts)
    with_run = {item.path for item in items if "finished" in getattr(item, "fixturenames", ())}
    for item in items:
        item.add_marker(pytest.mark.xdist_group("trained run" if item.path in with_run else str(item.path)))


def _shared_folder(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(
            f"{name} is not there: the real test files lie outside the project; set MURA_BATCH_SHARED to their folder"
        )
    return folder


@pytest.fixture(scope="session", autouse=True)
def _signals_are_not_ignored() -> None:
    """A shell starts a background job with SIGINT ignored, and nohup with SIGHUP; its programs inherit that."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(scope="session")
def shared_dicom() -> Path:
    """200 real DICOM files with manifest.csv."""
    return _shared_folder("dicom")


@pytest.fixture(scope="session")
def fracatlas() -> Path:
    """3,415 real labelled radiographs with labels.csv."""
    return _shared_folder("fracatlas")


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
        finding = RegionFinding(region, "code", "85562004", "high")
        sop_uid = sop or f"1.2.3.{path}"
        return build_instance(
            path, study, sop_instance_uid=sop_uid, patient_key=patient, region=finding, laterality=side
        )

    return make


@pytest.fixture
def make_score() -> Callable[..., InstanceScore]:
    """make_score(instance, probability, reused=False)"""
    return build_score
