"""An OUT that the real command wrote."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from command_line import mura_batch
from faults_library import preloaded

from mura_batch.phantom import PhantomOptions, make_phantoms

__all__ = ["preloaded"]


@pytest.fixture(scope="session")
def four_nights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(studies, OUT after four runs, all but the first without news)."""
    folder = tmp_path_factory.mktemp("history")
    studies = make_phantoms(folder / "studies", PhantomOptions(studies=1, small=True)).folder
    for _ in range(4):
        words = ("--settle", 0, "--truth", studies / "truth.csv", "--format", "csv,jsonl")
        done = mura_batch("score", studies, "--out", folder / "out", *words)
        assert done.returncode in {0, 3}, done.stderr
    return studies, folder / "out"


@pytest.fixture
def out(four_nights: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy that the test may change; what are links in OUT are links in it."""
    subprocess.run(["cp", "-a", four_nights[1], tmp_path / "out"], check=True)
    return tmp_path / "out"


@pytest.fixture
def studies(four_nights: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of the studies folder."""
    shutil.copytree(four_nights[0], tmp_path / "studies")
    return tmp_path / "studies"
