"""Result objects of drawn studies, and the programs of others that check them."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from pydicom.dataset import Dataset

from mura_batch.dicom.discover import discover
from mura_batch.dicom.header.reader import read_header
from mura_batch.dicom.pixels.decode import decode
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.write.result_gsps import presentation_state
from mura_batch.dicom.write.result_objects import Algorithm, ImageResult, ObjectRef, StudyResult, ref_to
from mura_batch.dicom.write.result_sc import Capture, secondary_capture
from mura_batch.dicom.write.result_source import read_result_source
from mura_batch.dicom.write.result_sr import report
from mura_batch.phantom import PhantomOptions, make_phantoms
from mura_batch.records import Instance, Skipped, StudyScore, StudyStatus

POLICY = IntakePolicy(settle_seconds=0)
COMMITTED = datetime(2026, 11, 27, 1, 2, 3, 456789, tzinfo=UTC)
ALGORITHM = Algorithm("reference", "1.0", "5e" * 32, "a1b2c3d4", "0.1.0")
OUTLINE = np.array([[10, 10], [40, 10], [40, 60], [10, 60], [10, 10]], np.float64)


@dataclass(frozen=True)
class Drawn:
    """A drawn study that was scored: its files and its result."""

    files: tuple[Path, ...]
    result: StudyResult

    def captures(self) -> list[Dataset]:
        pixels = np.full((96, 80, 3), 90, np.uint8)
        return [secondary_capture(self.result, n, Capture(pixels, 12.5)) for n in range(len(self.files))]

    def states(self) -> list[Dataset]:
        text = "AI score 0.83 (abnormal), for research use only"
        return [presentation_state(self.result, n, text, OUTLINE) for n in range(len(self.files))]

    def report(self, predecessor: ObjectRef | None = None) -> Dataset:
        images = self.result.images
        shown = [
            ref_to(capture, image.source.sop_instance_uid)
            for capture, image in zip(self.captures(), images, strict=True)
        ]
        return report(self.result, shown, predecessor)


@pytest.fixture(scope="session")
def drawn_studies(tmp_path_factory: pytest.TempPathFactory) -> tuple[Drawn, ...]:
    """Nine studies: every technique of the phantoms, both polarities."""
    root = make_phantoms(tmp_path_factory.mktemp("drawn") / "studies", PhantomOptions(studies=9, small=True)).folder
    studies: dict[str, dict[str, Instance]] = {}
    for found in discover(root, POLICY):
        record = found if isinstance(found, Skipped) else read_header(root, found, POLICY)
        if isinstance(record, Instance):
            studies.setdefault(record.study_uid, {})[record.sop_instance_uid] = record
    return tuple(_scored(root, list(instances.values())) for instances in studies.values())


def _scored(root: Path, instances: list[Instance]) -> Drawn:
    files = tuple(root / instance.source.path for instance in instances)
    images = tuple(scored_image(path, 0.5 + n / 7) for n, path in enumerate(files))
    score = sum(image.probability for image in images) / len(images)
    return Drawn(files, StudyResult(make_row(instances[0], score), images, ALGORITHM, COMMITTED))


def scored_image(path: Path, probability: float) -> ImageResult:
    _, _, decisions = decode(path.read_bytes(), POLICY, 320)
    return ImageResult(read_result_source(path), probability, decisions)


def make_row(instance: Instance, score: float | None) -> StudyScore:
    return StudyScore(
        study_uid=instance.study_uid, accession=instance.accession, patient_key="", study_date=instance.study_date,
        region=instance.region.region, laterality=instance.laterality, instances=1, scored=0 if score is None else 1,
        score=score, abnormal=None if score is None else score > 0.4, threshold=0.4,
        status=StudyStatus.FAILED if score is None else StudyStatus.SCORED,
    )  # fmt: skip


@pytest.fixture(scope="session")
def sr_rows() -> ModuleType:
    """The checker of sr_rows.py: tests cannot import each other."""
    spec = importlib.util.spec_from_file_location("sr_rows", Path(__file__).with_name("sr_rows.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["sr_rows"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _program(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (apt-get install {package})")
    return found


@pytest.fixture(scope="session")
def dciodvfy_errors() -> Callable[[Path], list[str]]:
    """Error lines of dicom3tools' dciodvfy. They are its verdict: its exit code is 0 beside some of them."""
    program = _program("dciodvfy", "dicom3tools")

    def check(path: Path) -> list[str]:
        done = subprocess.run([program, str(path)], capture_output=True, text=True, errors="replace", check=False)
        assert done.stderr, "dciodvfy said nothing"
        return [line for line in done.stderr.splitlines() if line.startswith("Error")]

    return check


@pytest.fixture(scope="session")
def dsrdump() -> Callable[[Path], str]:
    """The content tree as DCMTK reads it; fails where DCMTK refuses a relationship."""
    program = _program("dsrdump", "dcmtk")

    def dump(path: Path) -> str:
        done = subprocess.run([program, str(path)], capture_output=True, text=True, errors="replace", check=False)
        assert done.returncode == 0, done.stderr
        assert not done.stderr, done.stderr
        return done.stdout

    return dump
