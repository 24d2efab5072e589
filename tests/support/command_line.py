"""The command as a person runs it: another process, real files. On sys.path of all tests."""

from __future__ import annotations

import subprocess
import sys


def mura_batch(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mura_batch", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
