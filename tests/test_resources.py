"""Templates and engines are found from a checkout and from an installed package."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mura_batch
from mura_batch.resources import engines_folder, templates_folder

PACKAGE = Path(mura_batch.__file__).parent
ASK = "from mura_batch.resources import engines_folder, templates_folder; print(templates_folder(), engines_folder())"


def test_the_templates_and_engines_folders_are_located() -> None:
    assert (templates_folder() / "report.html.j2").is_file()
    assert engines_folder().name == "engines"


@pytest.mark.parametrize("inside", [True, False])
def test_folders_inside_the_package_come_before_those_beside_it(tmp_path: Path, inside: bool) -> None:
    """A wheel carries them inside; a checkout, with or without an editable install, has them beside."""
    package = tmp_path / "mura_batch"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__", "templates", "engines"))
    for name in ("templates", "engines"):
        (tmp_path / name).mkdir()
        if inside:
            (package / name).mkdir()
    base = package if inside else tmp_path
    # -P and -E: nothing but the copy is on the path, wherever the test is run from.
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {ASK}"
    printed = subprocess.run([sys.executable, "-E", "-P", "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.split() == [str(base / "templates"), str(base / "engines")]
