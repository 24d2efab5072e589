"""A backend is one package and one line of the registry: nothing else names it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mura_batch.doctor.checks import examine
from mura_batch.doctor.runner_speed import bench
from mura_batch.errors import RunnerError
from mura_batch.model_card import Model
from mura_batch.runtime import registry
from mura_batch.runtime.choose import open_runner
from mura_batch.runtime.registry import Entry
from mura_batch.runtime.runner import RunnerOptions

# A backend for a device of its own, as a package outside the program. It answers 0.5 to everything.
COIN = """
from mura_batch.runtime.backend import Absent, Check
from mura_batch.runtime.runner import Outputs, RunnerInfo
import numpy as np

SOCKET = True

def find(options):
    return CoinRunner if SOCKET else Absent("no coin is here", "Buy a coin.")

def checks(model_folder, cache_dir):
    yield Check("coin", "ok" if SOCKET else "warn", "a coin", "" if SOCKET else "Buy a coin.")

class CoinRunner:
    batch_size, busy_seconds = 1, 0.0

    def __init__(self, model, reason):
        self.info = RunnerInfo("coin", "a coin", "heads", reason, "1", None)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def run(self, batches):
        for batch in batches:
            n = len(batch)
            yield Outputs(np.full(n, 0.5, np.float32), np.zeros((n, 1, 1), np.float32), None)
"""


@pytest.fixture
def coin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "coin").mkdir()
    (tmp_path / "coin" / "__init__.py").write_text("")
    (tmp_path / "coin" / "backend.py").write_text(COIN)
    monkeypatch.syspath_prepend(tmp_path)
    for module in ("coin", "coin.backend"):  # of an earlier test, whose folder is gone
        monkeypatch.delitem(sys.modules, module, raising=False)
    entries = (Entry("coin", "npu", "coin.backend", ("heads",)), *registry.BACKENDS)
    monkeypatch.setattr(registry, "BACKENDS", entries)


@pytest.mark.usefixtures("coin")
@pytest.mark.parametrize(
    "options", [RunnerOptions(), RunnerOptions("npu"), RunnerOptions(backend="coin"), RunnerOptions("npu", "heads")]
)
def test_a_new_backend_is_chosen(tiny_model: Model, pictures: np.ndarray, options: RunnerOptions) -> None:
    with open_runner(tiny_model, options) as runner:
        (outputs,) = runner.run([pictures])
        assert runner.info.name == "coin"
    assert (outputs.probability == 0.5).all()


@pytest.mark.usefixtures("coin")
def test_an_absent_new_backend_says_how_to_fix_it(tiny_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.load(registry.BACKENDS[0]), "SOCKET", False)
    with pytest.raises(RunnerError, match=r"--backend coin: no coin is here\. Buy a coin\."):
        open_runner(tiny_model, RunnerOptions(backend="coin"))
    with open_runner(tiny_model, RunnerOptions(precision="float32")) as runner:
        assert runner.info.reason.startswith("CPU, since no coin is here")


@pytest.mark.usefixtures("coin")
def test_the_doctor_and_the_bench_ask_a_new_backend(tiny_model: Model) -> None:
    assert "coin" in [check.name for check in examine(None, tiny_model.folder)]
    assert "coin heads" in [record.runner for record in bench(tiny_model, (1,), seconds=0.01)]


def test_the_doctor_prints_a_line_that_backends_share_once(tiny_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "BACKENDS", registry.BACKENDS + registry.BACKENDS[:1])
    names = [check.name for check in examine(None, tiny_model.folder)]
    assert sorted(set(names)) == sorted(names)


def test_no_backend_imports_another() -> None:
    runtime = Path(registry.__file__).parent
    packages = {entry.module.split(".")[-2] for entry in registry.BACKENDS}
    for package in packages:
        for source in (runtime / package).glob("*.py"):
            others = [rf"mura_batch\.runtime\.{other}\b" for other in packages - {package}]
            assert not [other for other in others if re.search(other, source.read_text())], source


def test_the_registry_imports_no_backend_and_no_library() -> None:
    code = (
        "import sys, mura_batch.runtime.registry; "
        "print([m for m in sys.modules if m == 'numpy' or m.endswith('.backend')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
