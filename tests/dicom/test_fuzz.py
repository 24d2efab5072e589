"""A small run of the fuzzer; `make fuzz` runs the large one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_damaged_files_leave_a_record_each() -> None:
    script = Path(__file__).with_name("fuzz.py")
    done = subprocess.run(
        [sys.executable, script, "--inputs", "1500", "--seed", "7"],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout[-2000:] + done.stderr[-2000:]
    assert "decoded" in done.stdout
