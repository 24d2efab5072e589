"""The checks of tests/gpu run over the fakes, so that they are known to be sound before a GPU is at hand."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mura_batch.model_card import Model
from mura_batch.runtime.nvidia.devices import find_gpu

GPU_TESTS = Path(__file__).parents[1] / "gpu"
NOT_HERE = {
    "test_the_gpu_is_described_as_nvidia_smi_describes_it",  # there is no nvidia-smi
    "test_copies_from_page_locked_memory_are_measured",  # gigabytes through a fake
    "test_speed_and_parity_of_every_available_runner_are_measured",  # seconds of measuring a fake
}


def module(name: str) -> ModuleType:
    spec = spec_from_file_location(f"gpu_{name}", GPU_TESTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = module_from_spec(spec)
    sys.modules[spec.name] = loaded  # dataclasses look there
    spec.loader.exec_module(loaded)
    return loaded


CHECKS = [
    (name, check)
    for name in ("test_cuda", "test_tensorrt")
    for check in sorted(vars(module(name)))
    if check.startswith("test_") and check not in NOT_HERE
]


@pytest.mark.parametrize(("name", "check"), CHECKS, ids=[check for _, check in CHECKS])
def test_a_gpu_check_passes_on_the_simulated_machine(name: str, check: str, simulation: Any, own_model: Model) -> None:
    simulation.start("11.4.0.106")
    gpu = find_gpu("0")
    figures: dict[str, object] = {}
    given = {"gpu": gpu, "tensorrt_gpu": gpu, "model": own_model, "figure": figures.__setitem__}
    function = getattr(module(name), check)
    function(**{parameter: given[parameter] for parameter in signature(function).parameters})
    assert not simulation.machine.crimes, simulation.machine.crimes
    assert not simulation.machine.live


def test_a_part_that_runs_out_of_time_is_reported(tmp_path: Path) -> None:
    check = module("check")
    outcome = check.run(check.Part("test_stream.py", 0.5), tmp_path, tmp_path / "results.json")
    assert outcome["state"] == "stopped after 0.5 s"
    assert outcome["tests"] == {}


def test_a_part_without_its_module_is_not_run(tmp_path: Path) -> None:
    check = module("check")
    outcome = check.run(
        check.Part("test_stream.py", 1, "a_module_that_is_missing"), tmp_path, tmp_path / "results.json"
    )
    assert outcome["state"] == "not run"


def test_the_parts_fit_fifteen_minutes() -> None:
    check = module("check")
    assert sum(part.seconds for part in check.PARTS) <= 840
    assert {part.file for part in check.PARTS} == {path.name for path in GPU_TESTS.glob("test_*.py")}
