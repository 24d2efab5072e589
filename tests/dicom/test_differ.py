"""The short form of `make differ`: our reader beside pydicom, DCMTK and GDCM."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MISSING = [name for name in ("dcmconv", "gdcmconv") if shutil.which(name) is None]


@pytest.mark.skipif(bool(MISSING), reason=f"{MISSING} not found: apt-get install dcmtk libgdcm-tools")
def test_what_two_other_readers_read_is_read_alike(tmp_path: Path) -> None:
    script = Path(__file__).with_name("differ.py")
    done = subprocess.run(
        [sys.executable, script, "--variants", "40", "--seed", "1"],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env={**os.environ, "MURA_BATCH_SHARED": str(tmp_path)},
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout[-2000:] + done.stderr[-2000:]
    assert "the same picture" in done.stdout
