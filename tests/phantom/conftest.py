"""One small export that many tests read and none writes to."""

from __future__ import annotations

from pathlib import Path

import pytest

from mura_batch.phantom import PhantomOptions, PhantomSummary, make_phantoms

OPTIONS = PhantomOptions(studies=14, seed=7, small=True)


@pytest.fixture(scope="session")
def options() -> PhantomOptions:
    return OPTIONS


@pytest.fixture(scope="session")
def summary(tmp_path_factory: pytest.TempPathFactory) -> PhantomSummary:
    return make_phantoms(tmp_path_factory.mktemp("phantom") / "export", OPTIONS)


@pytest.fixture(scope="session")
def export(summary: PhantomSummary) -> Path:
    return summary.folder
