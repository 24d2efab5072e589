"""The library that kills processes and plays file systems, compiled here. A conftest imports its fixture."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import mura_batch

Preloaded = Callable[..., dict[str, str]]


@pytest.fixture(scope="session")
def preloaded(tmp_path_factory: pytest.TempPathFactory) -> Preloaded:
    """preloaded(faults=""): an environment with faults.c preloaded."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: faults.c cannot be compiled (apt-get install gcc libc6-dev)")
    library = tmp_path_factory.mktemp("faults") / "faults.so"
    source = Path(__file__).parents[1] / "crash" / "faults.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    paths = [str(Path(mura_batch.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]

    def environment(faults: str = "") -> dict[str, str]:
        given = {"LD_PRELOAD": str(library), "FAULTS": faults, "PYTHONPATH": os.pathsep.join(paths)}
        return {**os.environ, **given}

    return environment
