"""Records and whole run folders for the tests of the report."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from record_builders import FULL, build_instance, build_score

from mura_batch.model_card import Model, ModelCard
from mura_batch.outputs.sink import RunInfo
from mura_batch.preprocess import InputSpec
from mura_batch.records import (
    InstanceScore,
    Laterality,
    Reason,
    Region,
    RegionFinding,
    Skipped,
    SourceFile,
    Stage,
    StudyScore,
    StudyStatus,
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("chromium is not installed, and CI must look at the pages in it: apt-get install chromium")
        pytest.skip("chromium is not installed: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small studies and the mess of an export."""
    folder = tmp_path_factory.mktemp("phantom") / "studies"
    _mura_batch("phantom", folder, "--studies", 3, "--small")
    return folder


@pytest.fixture(scope="session")
def scored(studies: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OUT of a run over them, called mura-out."""
    out = tmp_path_factory.mktemp("scored") / "mura-out"
    _mura_batch("score", studies, "--out", out, "--settle", 0, "--workers", 1)
    return out


def _mura_batch(*words: object) -> None:
    command = [sys.executable, "-m", "mura_batch", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode in {0, 3}, done.stderr  # the phantom export holds a truncated file


ScoreMaker = Callable[..., InstanceScore]
SkipMaker = Callable[..., Skipped]
StudyMaker = Callable[..., StudyScore]


def _source(path: str) -> SourceFile:
    return SourceFile(path=path, size=1, mtime_ns=1, ctime_ns=1)


@pytest.fixture
def image() -> ScoreMaker:
    """Makes the score of one radiograph; keyword arguments replace fields of its Instance."""

    def make(path: str = "a/1.dcm", probability: float = 0.25, *, reused: bool = False, **other: Any) -> InstanceScore:
        values: dict[str, Any] = {
            "source": _source(path),
            "sop_instance_uid": f"1.2.{path}",
            "series_uid": "1.2.3.1",
            "patient_key": "0123456789",
            "accession": "00042",
            "study_date": "20240131",
            "region": RegionFinding(Region.WRIST, "code", "T-15460", "high"),
            "laterality": Laterality.RIGHT,
        }
        return build_score(
            build_instance(path, "1.2.3", **{**values, **other}), probability, reused=reused, content="ab" * 32,
            voi="window linear", window_center=-500.0, window_width=2000.5, flags=("window from the first of two",),
        )  # fmt: skip

    return make


@pytest.fixture
def skip() -> SkipMaker:
    """Makes the record of a skipped file."""

    def make(path: str = "b/2.dcm", reason: Reason = Reason.TRUNCATED, **other: Any) -> Skipped:
        return Skipped(**{"source": _source(path), "stage": Stage.HEADER, "reason": reason, "detail": "why", **other})

    return make


@pytest.fixture
def study() -> StudyMaker:
    """Makes a row of studies.csv; keyword arguments replace its fields."""

    def make(**other: Any) -> StudyScore:
        values: dict[str, Any] = {
            "study_uid": "1.2.3",
            "accession": "00042",
            "patient_key": "0123456789",
            "study_date": "20240131",
            "region": Region.WRIST,
            "laterality": Laterality.RIGHT,
            "instances": 2,
            "scored": 1,
            "score": 0.25,
            "abnormal": False,
            "threshold": 0.5,
            "status": StudyStatus.PARTIAL,
            "reason": "truncated",
        }
        return StudyScore(**{**values, **other})

    return make


RunInfoMaker = Callable[..., RunInfo]


@pytest.fixture(scope="session")
def run_info() -> RunInfoMaker:
    """run_info(folder, model_name="reference", card=...): of a run that writes into folder."""

    def make(folder: Path, model_name: str = "reference", *, card: ModelCard | None = None) -> RunInfo:
        return RunInfo(
            folder=folder,
            name="2026-02-01T020000.000000Z",
            started=datetime(2026, 2, 1, 2, tzinfo=UTC),
            studies=Path("/export/tonight"),
            options={"batch_size": "8", "device": "auto"},
            settings_hash="0123456789abcdef",
            model=Model(folder, card or model_card(model_name)),
            runner={
                "name": "openvino", "device": "AMD EPYC 9R14", "precision": "bf16", "version": "2026.2.0",
                "reason": "no GPU was found; bf16 holds the parity gate", "parity_max_abs_error": 0.006,
            },
            truth=None,
            read_picture=lambda _: None,
            disclosure=FULL,
        )  # fmt: skip

    return make


def model_card(name: str) -> ModelCard:
    return ModelCard(
        name=name,
        version="1",
        input=InputSpec(size=320),
        threshold=0.5,
        threshold_rule="highest kappa on the validation studies",
        regions=("hand", "shoulder"),
        temperature=1.0,
        temperature_rule="not calibrated",
        licence="CC BY 4.0",
        attribution="Drawings made for this test.",
        intended_use="Tests.",
        limits=(),
        training={},
        figures={},
        parity={},
        hashes={"model.onnx": "a" * 64},
    )
