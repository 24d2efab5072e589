"""A system call that fails is one line and costs nothing: the short form of `failing_calls.py`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Preloaded = Callable[..., dict[str, str]]
HERE = Path(__file__).parent


@pytest.mark.parametrize("command", ["first score", "backup"])
def test_a_failing_call_is_one_line_and_costs_nothing(preloaded: Preloaded, command: str) -> None:
    arguments = [sys.executable, HERE / "failing_calls.py", "--only", command, "--calls", "1"]
    done = subprocess.run(arguments, env=preloaded(), capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{command}: ")
    assert "0 left something wrong" in done.stdout
