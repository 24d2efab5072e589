"""Checks on a real NVIDIA GPU (`make gpu-check`). Without one every test here is skipped, and the table says so.

The outcome goes to the terminal as a table and to the file that MURA_BATCH_GPU_CHECK names as JSON.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mura_batch.model_card import Model, load_model
from mura_batch.runtime.backend import Absent
from mura_batch.runtime.nvidia.devices import Gpu, list_gpus
from mura_batch.runtime.tensorrt.backend import usable_gpu

HERE = Path(__file__).parent
REFERENCE = HERE.parents[1] / "engines" / "reference"
RESULTS: dict[str, dict[str, Any]] = {}  # test -> outcome, reason, figures


@pytest.fixture
def gpu() -> Gpu:
    """The first GPU, by pycuda alone."""
    found = list_gpus()
    if isinstance(found, Absent):
        pytest.skip(f"no NVIDIA GPU: {found.reason}")
    return found[0]


@pytest.fixture
def cuda_device() -> Any:
    """The first GPU as PyTorch has it; needs no pycuda."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    if not torch.cuda.is_available():
        pytest.skip("PyTorch sees no GPU")
    return torch.device("cuda", 0)


@pytest.fixture
def tensorrt_gpu(gpu: Gpu) -> Gpu:
    found = usable_gpu(str(gpu.index))
    if isinstance(found, Absent):
        pytest.skip(f"not run: {found.reason}")
    return found[0]


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """The reference model in a folder where plans may be put."""
    if not (REFERENCE / "model.onnx").is_file():
        pytest.skip("there is no reference model in this checkout")
    folder = tmp_path / "reference"
    folder.mkdir()
    for name in ("model.json", "model.onnx", "reference_inputs.npz"):
        shutil.copy(REFERENCE / name, folder)
    return load_model(folder)


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str, object], None]:
    """figure(name, value): put into the table and the JSON beside the test's outcome."""

    def put(name: str, value: object) -> None:
        entry(request.node.nodeid)["figures"][name] = value

    return put


def entry(nodeid: str) -> dict[str, Any]:
    name = nodeid.rsplit("/", 1)[-1]
    return RESULTS.setdefault(name, {"outcome": "not run", "reason": "", "figures": {}})


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if HERE.name not in Path(report.nodeid.split("::")[0]).parts:
        return
    if report.when == "call" or report.outcome != "passed":
        result = entry(report.nodeid)
        result["outcome"] = report.outcome
        result["seconds"] = round(report.duration, 1)
        if report.skipped and isinstance(report.longrepr, tuple):
            result["reason"] = report.longrepr[2].removeprefix("Skipped: ")
        if report.failed:
            result["reason"] = str(report.longrepr).strip().splitlines()[-1][:300]
    write_results()


def write_results() -> None:
    """After every test: what was measured stays when the time runs out."""
    target = os.environ.get("MURA_BATCH_GPU_CHECK")
    if not target or not RESULTS:
        return
    path = Path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"date": datetime.now(UTC).isoformat(timespec="seconds"), **machine(), "tests": RESULTS}
    path.write_text(json.dumps(content, indent=2) + "\n")


def machine() -> dict[str, Any]:
    """What it ran on, for the evidence."""
    from importlib.metadata import PackageNotFoundError, version

    def number(name: str) -> str:
        try:
            return version(name)
        except PackageNotFoundError:
            return "not installed"

    found = list_gpus()
    gpus = [] if isinstance(found, Absent) else [f"{gpu.name}, driver {gpu.driver}, CUDA {gpu.cuda}" for gpu in found]
    return {
        "gpus": gpus,
        **{name: number(name) for name in ("pycuda", "tensorrt", "tensorrt-rtx-cu13", "torch", "mura-batch")},
    }
