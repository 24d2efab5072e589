"""The comparison with an earlier commit: a slower tree is noticed, a swing within the noise is not."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from bench.against import Comparison, Section, Side, Times, compare, environment, table

ROOT = Path(__file__).resolve().parents[2]
HELP = Section("help", 3, lambda out: ["--help"])


def comparison(before: list[float], after: list[float]) -> Comparison:
    return Comparison("x", [Times(t, t) for t in before], [Times(t, t) for t in after])


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ([1.0, 1.1, 1.0], [1.05, 1.0, 1.1], "equal"),
        ([1.0, 1.01, 1.0], [1.1, 1.1, 1.11], "SLOWER"),
        ([1.0, 1.5, 1.0], [1.1, 1.1, 1.11], "equal"),  # 50 % of noise
        ([1.0, 1.01, 1.0], [0.5, 0.5, 0.51], "faster"),
        ([1.0, 1.0], [1.01, 1.01], "equal"),  # the least noise
    ],
)
def test_a_section_is_slower_only_beyond_its_noise(before: list[float], after: list[float], verdict: str) -> None:
    found = comparison(before, after)
    assert table([found], "abc").splitlines()[1].split()[-1] == verdict
    assert found.is_slower == (verdict == "SLOWER")


def test_a_slower_tree_is_noticed(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "mura_batch", tmp_path / "slow" / "mura_batch")
    with (tmp_path / "slow" / "mura_batch" / "__init__.py").open("a") as module:
        module.write("\nimport time\nbegun = time.process_time()\nwhile time.process_time() < begun + 0.5:\n    pass\n")
    python = Path(sys.executable)
    found = compare(HELP, Side("before", python, ROOT), Side("after", python, tmp_path / "slow"), tmp_path)
    assert [len(found.before), len(found.after)] == [3, 3]
    assert found.is_slower
    assert 0.4 < min(t.cpu for t in found.after) - max(t.cpu for t in found.before) < 1


def test_the_time_of_children_counts(tmp_path: Path) -> None:
    """Decoding happens in child processes: their CPU time is the command's."""
    (tmp_path / "mura_batch").mkdir()
    (tmp_path / "mura_batch" / "__init__.py").touch()
    (tmp_path / "mura_batch" / "__main__.py").write_text(
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', 'import time\\nwhile time.process_time() < 0.5: pass'], check=True)\n"
    )
    assert Side("x", Path(sys.executable), tmp_path).run([], tmp_path).cpu > 0.5


def test_a_command_that_fails_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="No such command"):
        Side("x", Path(sys.executable), ROOT).run(["nothing"], tmp_path)


def test_a_commit_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no-such-commit"):
        environment("no-such-commit", tmp_path)
