"""TensorRT-RTX on a simulated GPU: acceptance at the first start, compiled kernels, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mura_batch.doctor.checks import examine
from mura_batch.errors import InputError, PlanError, RunnerError
from mura_batch.model_card import Model
from mura_batch.runtime.choose import open_runner
from mura_batch.runtime.nvidia import devices
from mura_batch.runtime.nvidia.plans import read_sidecar, sidecar_path
from mura_batch.runtime.runner import Outputs, RunnerOptions

RTX = "1.7.1.116"


@pytest.fixture
def rtx(simulation: Any, own_model: Model, pictures: np.ndarray, expected: Outputs) -> Any:
    """A kit on a machine with a GPU of compute capability 8.9 and TensorRT-RTX, and a plan."""
    simulation.start(RTX)
    kit = simulation.drills.Kit(simulation.machine, own_model, pictures, expected)
    kit.compile()
    return kit


def info(kit: Any, **options: Any) -> Any:
    with kit.open(**options) as runner:
        return runner.info


def test_a_plan_is_accepted_once_by_its_first_start(rtx: Any, tmp_path: Path) -> None:
    first = info(rtx, cache_dir=tmp_path)
    assert "accepted on this GPU by this run: max |dp|" in first.reason
    assert 0 < first.parity_max_abs_error < 5e-3
    again = info(rtx, cache_dir=tmp_path)
    assert "accepted on this GPU by an earlier run" in again.reason
    assert again.parity_max_abs_error == first.parity_max_abs_error
    (cached,) = tmp_path.glob("parity-*")
    cached.unlink()
    assert "by this run" in info(rtx, cache_dir=tmp_path).reason


def test_a_plan_that_misses_the_gate_scores_nothing(rtx: Any, tmp_path: Path) -> None:
    rtx.machine.fail("wrong")
    for _ in range(2):  # measured, and then known
        with pytest.raises(PlanError, match=r"is not used on this GPU: max \|dp\| 0\.1 is over.*--device cpu"):
            info(rtx, cache_dir=tmp_path)
        rtx.machine.faults.clear()
    rtx.at_rest()


def test_another_driver_means_accepting_again(rtx: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info(rtx, cache_dir=tmp_path)
    version = tmp_path / "version"
    version.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  590.1  Mon\n")
    monkeypatch.setattr(devices, "DRIVER_VERSION_FILE", version)
    assert "by this run" in info(rtx, cache_dir=tmp_path).reason


def test_a_read_only_model_folder_is_enough(rtx: Any, tmp_path: Path) -> None:
    rtx.model.folder.chmod(0o500)
    try:
        assert "by this run" in info(rtx, cache_dir=tmp_path / "cache").reason
    finally:
        rtx.model.folder.chmod(0o700)


def test_kernels_are_compiled_by_the_first_start_only(rtx: Any, tmp_path: Path) -> None:
    info(rtx, cache_dir=tmp_path)
    assert rtx.machine.jit[0] == "compiled"
    rtx.machine.jit.clear()
    info(rtx, cache_dir=tmp_path)
    assert set(rtx.machine.jit) == {"cached"}
    (kernels,) = tmp_path.glob("kernels-*")
    kernels.write_bytes(kernels.read_bytes()[:-1] + b"?")
    rtx.machine.jit.clear()
    info(rtx, cache_dir=tmp_path)
    assert rtx.machine.jit[0] == "compiled", "a damaged cache is not used"


def test_a_cache_that_the_library_refuses_is_written_anew(rtx: Any, tmp_path: Path) -> None:
    info(rtx, cache_dir=tmp_path)
    rtx.machine.fail("deserialize")
    rtx.machine.jit.clear()
    info(rtx, cache_dir=tmp_path)
    assert rtx.machine.jit[0] == "compiled"


def test_every_batch_runs_in_one_shape(rtx: Any) -> None:
    with rtx.open(batch_size=4) as runner:
        rtx.score(runner, 1, 3, 4, 2)
    assert rtx.machine.jit.count("compiled") == 1
    rtx.at_rest()


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ((), ("EAGER", "WHOLE_GRAPH_CAPTURE")),
        (("kernels=lazy", "cuda-graphs=off"), ("LAZY", "DISABLED")),
        (("kernels=none",), ("NONE", "WHOLE_GRAPH_CAPTURE")),
    ],
)
def test_backend_options_reach_the_library(rtx: Any, given: tuple[str, ...], used: tuple[str, str]) -> None:
    info(rtx, backend="rtx", backend_options=given)
    assert set(rtx.machine.runtime_configs) == {used}


@pytest.mark.parametrize("given", [("kernels=fast",), ("speed=high",), ("kernels",), ("kernels=lazy", "kernels=none")])
def test_an_unknown_backend_option_is_refused(tiny_model: Model, given: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="--backend-option"):
        open_runner(tiny_model, RunnerOptions(backend="rtx", backend_options=given))
    with pytest.raises(InputError, match="name it with --backend"):
        open_runner(tiny_model, RunnerOptions(backend_options=("kernels=lazy",)))


def test_full_memory_while_kernels_are_compiled_halves_the_batch_once(rtx: Any) -> None:
    rtx.machine.fail("jit", on=1)
    assert "halved from 4 to 2" in info(rtx, batch_size=4).reason
    rtx.machine.fail("jit")
    with pytest.raises(RunnerError, match=r"OutOfMemory while compiling.*--batch-size"):
        info(rtx)
    rtx.at_rest()


def test_a_plan_whose_header_is_refused_is_not_loaded(rtx: Any) -> None:
    rtx.machine.fail("get_engine_validity")
    with pytest.raises(PlanError, match=r"unsupported cc.*mura-batch compile --backend rtx"):
        info(rtx)
    assert rtx.machine.calls["deserialize_cuda_engine"] == 0
    rtx.at_rest()


@pytest.mark.parametrize("capability", [(9, 0), (10, 0)])
def test_a_data_centre_gpu_is_refused_with_what_to_install(rtx: Any, capability: tuple[int, int]) -> None:
    rtx.machine.gpus[0].capability = capability
    wanted = rf"does not run on compute capability {capability[0]}\.0.*pip install 'mura-batch\[gpu\]'"
    with pytest.raises(RunnerError, match=wanted) as caught:
        rtx.open(backend="rtx")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("capability", "fits"), [((8, 0), True), ((12, 1), True), ((12, 3), True), ((7, 5), False)])
def test_one_plan_serves_many_gpus_but_turing_needs_its_own(rtx: Any, capability: tuple[int, int], fits: bool) -> None:
    rtx.machine.gpus[0].capability = capability
    if fits:
        assert rtx.open()
        return
    with pytest.raises(PlanError, match=r"this GPU has 7\.5[\s\S]*--backend rtx --compute-capability 7\.5"):
        rtx.open()
    rtx.compile(compute_capabilities=("7.5",))
    assert info(rtx).name == "rtx"


def test_an_error_names_the_cuda_12_wheel_for_old_drivers(rtx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setattr(sys.modules["pycuda.driver"], "get_driver_version", lambda: 12040)
    with pytest.raises(RunnerError, match=r"serves CUDA 12\.4.*mura-batch\[rtx-cu12\]"):
        rtx.open()


def test_a_plan_of_the_other_library_is_named(rtx: Any) -> None:
    (path,) = rtx.model.folder.glob("*.plan")
    values = json.loads(sidecar_path(path).read_text())
    values["target"]["library"] = "TensorRT"
    sidecar_path(path).write_text(json.dumps(values))
    with pytest.raises(PlanError, match="it was built by TensorRT\n"):
        rtx.open()


def test_the_doctor_says_whether_a_plan_was_accepted(rtx: Any, tmp_path: Path) -> None:
    def line() -> Any:
        return next(check for check in examine(tmp_path, rtx.model.folder) if check.name == "rtx plan")

    assert "built, not yet accepted" in line().detail
    with open_runner(rtx.model, RunnerOptions("gpu", cache_dir=tmp_path / "cache")):
        pass
    assert "max |dp|" in line().detail
    assert line().status == "ok"


def test_a_long_start_is_reported(rtx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    from mura_batch.runtime.nvidia import thread

    monkeypatch.setattr(thread, "REPORT_SECONDS", 0.05)
    fake = type(rtx.machine)
    slow = fake.fails
    monkeypatch.setattr(fake, "fails", lambda self, call: (time.sleep(0.2 * (call == "jit")), slow(self, call))[1])
    lines: list[str] = []
    info(rtx, report=lines.append)
    assert lines
    assert lines[0].startswith("TensorRT-RTX prepares the plan for this GPU")


def test_a_later_library_does_not_take_an_earlier_plan(rtx: Any) -> None:
    (path,) = rtx.model.folder.glob("*.plan")
    target = replace(read_sidecar(path).target, version="1.6.0.1")
    values = json.loads(sidecar_path(path).read_text())
    values["target"]["version"] = target.version
    sidecar_path(path).write_text(json.dumps(values))
    with pytest.raises(PlanError, match=r"built by TensorRT-RTX 1\.6\.0\.1, installed is 1\.7"):
        rtx.open()
