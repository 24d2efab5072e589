"""The device is decided once, with a reason; there is never a silent CPU night."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mura_batch.errors import InputError, PlanError, RunnerError
from mura_batch.model_card import Model
from mura_batch.runtime.choose import open_runner
from mura_batch.runtime.nvidia import devices
from mura_batch.runtime.runner import RunnerOptions
from mura_batch.runtime.tensorrt.compile import BuildOptions, compile_plan

SMALL = BuildOptions(opt_batch=4, max_batch=8)


@pytest.fixture
def no_driver_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where NVIDIA's kernel module would tell its version; not there yet."""
    monkeypatch.setattr(devices, "DRIVER_VERSION_FILE", tmp_path / "version")
    return tmp_path / "version"


def test_auto_takes_the_cpu_without_pycuda_and_says_so(
    tiny_model: Model, simulation: Any, without: Any, no_driver_file: Path
) -> None:
    without("pycuda", ModuleNotFoundError("No module named 'pycuda'", name="pycuda"))
    with open_runner(tiny_model, RunnerOptions()) as runner:
        assert runner.info.name == "openvino"
        assert runner.info.reason.startswith("CPU, since pycuda is not installed and no NVIDIA driver is loaded")


def test_device_gpu_without_pycuda_is_an_error_with_its_fix(
    tiny_model: Model, simulation: Any, without: Any, no_driver_file: Path
) -> None:
    no_driver_file.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul 27 2025\n")
    without("pycuda", ModuleNotFoundError("No module named 'pycuda'", name="pycuda"))
    with pytest.raises(
        RunnerError, match=r"driver is loaded but pycuda is not installed.*pip install 'mura-batch\[gpu\]'"
    ):
        open_runner(tiny_model, RunnerOptions(device="gpu"))
    assert devices.driver_version() == "580.65.06"


def test_a_missing_driver_is_named(tiny_model: Model, simulation: Any, without: Any) -> None:
    simulation.start("11.4.0.106")
    without("pycuda.driver", ImportError("libcuda.so.1: cannot open shared object file"))
    with pytest.raises(RunnerError, match=r"libcuda\.so\.1"):
        open_runner(tiny_model, RunnerOptions(device="gpu"))


def test_auto_takes_the_cpu_without_tensorrt(tiny_model: Model, simulation: Any, without: Any) -> None:
    simulation.start("11.4.0.106")
    without("tensorrt", ModuleNotFoundError("No module named 'tensorrt'"))
    with open_runner(tiny_model, RunnerOptions()) as runner:
        assert "NVIDIA Simulated 1" in runner.info.reason
        assert "TensorRT cannot be loaded" in runner.info.reason
    with pytest.raises(RunnerError, match="pip install"):
        open_runner(tiny_model, RunnerOptions(device="gpu"))


def test_auto_takes_the_cpu_where_cuda_sees_no_gpu(tiny_model: Model, simulation: Any) -> None:
    simulation.start("11.4.0.106")
    simulation.machine.gpus = []
    with open_runner(tiny_model, RunnerOptions()) as runner:
        assert runner.info.reason.startswith("CPU, since CUDA sees no GPU")


def test_auto_does_not_choose_cpu_with_a_broken_gpu_driver(tiny_model: Model, simulation: Any) -> None:
    simulation.start("11.4.0.106")
    simulation.machine.fail("init")
    with pytest.raises(RunnerError, match=r"unsupported display driver.*reboot.*--device cpu"):
        open_runner(tiny_model, RunnerOptions())


@pytest.mark.parametrize("device", ["auto", "gpu"])
def test_a_gpu_without_plan_is_an_error_with_the_command(own_model: Model, simulation: Any, device: str) -> None:
    simulation.start("11.4.0.106")
    with pytest.raises(PlanError) as caught:
        open_runner(own_model, RunnerOptions(device=device))
    assert f"mura-batch compile {own_model.folder}" in str(caught.value)
    assert ("--device cpu" in str(caught.value)) == (device == "auto")


def test_auto_takes_the_gpu_when_a_plan_matches(own_model: Model, simulation: Any) -> None:
    simulation.start("11.4.0.106")
    path = compile_plan(own_model, SMALL)
    with open_runner(own_model, RunnerOptions()) as runner:
        assert runner.info.device == "NVIDIA Simulated 1"
        assert path.name in runner.info.reason


def test_a_cpu_precision_on_a_gpu_machine_is_refused(own_model: Model, simulation: Any) -> None:
    simulation.start("11.4.0.106")
    with pytest.raises(InputError, match="--device cpu"):
        open_runner(own_model, RunnerOptions(precision="float32"))


def test_a_second_gpu_has_its_own_plan(own_model: Model, simulation: Any) -> None:
    simulation.start("11.4.0.106")
    other = type(simulation.machine.gpus[0])(
        "NVIDIA Simulated 2", "GPU-99999999-0000-0000-0000-000000000000", (8, 9), 58
    )
    simulation.machine.gpus.append(other)
    compile_plan(own_model, SMALL)
    with pytest.raises(PlanError, match=r"built for NVIDIA Simulated 1[\s\S]*--gpu 1"):
        open_runner(own_model, RunnerOptions(gpu="1"))
    compile_plan(own_model, BuildOptions(gpu="GPU-99999999", opt_batch=4, max_batch=8))
    for gpu in ("1", "GPU-99999999", "MIG-99999999-0000"):
        with open_runner(own_model, RunnerOptions(gpu=gpu)) as runner:
            assert runner.info.device == "NVIDIA Simulated 2"


@pytest.mark.parametrize("gpu", ["7", "GPU-77777777", "GPU", ""])
def test_an_unknown_gpu_is_an_error_that_lists_the_gpus(own_model: Model, simulation: Any, gpu: str) -> None:
    simulation.start("11.4.0.106")
    with pytest.raises(InputError, match="choose of: 0 NVIDIA Simulated 1 GPU-11111111"):
        open_runner(own_model, RunnerOptions(gpu=gpu))
