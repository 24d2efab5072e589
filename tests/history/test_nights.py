"""The short form of `make nights`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def simulated(*words: object) -> str:
    command = [sys.executable, HERE / "nights.py", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nights_over_a_changing_archive_equal_a_scoring_from_scratch() -> None:
    assert "equal to a scoring from scratch" in simulated("--changing", 19, "--studies", 3, "--quiet", 0)


def test_quiet_nights_add_at_most_20_kilobytes_each() -> None:
    (each,) = re.findall(r"([0-9.]+) kB a night", simulated("--changing", 0, "--quiet", 3, "--files", 90))
    assert float(each) <= 20
