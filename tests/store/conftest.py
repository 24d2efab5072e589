"""Ledgers as older schemas had them, and ways to change a ledger behind the program's back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def old_ledger(tmp_path: Path) -> Path:
    """Schema 2, written by version 0.1.0: a run over 2 studies that ended, and one over 4 that was killed after a
    score."""
    path = tmp_path / "ledger.sqlite"
    shutil.copyfile(Path(__file__).parent / "data" / "ledger-schema-2.sqlite", path)
    return path


@pytest.fixture
def schema_4_ledger(tmp_path: Path) -> Path:
    """Schema 4: a run over one phantom study that ended."""
    path = tmp_path / "ledger.sqlite"
    shutil.copyfile(Path(__file__).parent / "data" / "ledger-schema-4.sqlite", path)
    return path
