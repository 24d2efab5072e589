"""TensorRT on a real GPU: build, parity, run, failure and end, with the reference model."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from mura_batch.doctor.runner_speed import bench
from mura_batch.errors import PlanError
from mura_batch.model_card import Model
from mura_batch.runtime.choose import open_runner
from mura_batch.runtime.nvidia.devices import Gpu
from mura_batch.runtime.nvidia.plans import read_sidecar, sidecar_path
from mura_batch.runtime.parity import answers, load_reference_inputs
from mura_batch.runtime.runner import RunnerOptions
from mura_batch.runtime.tensorrt.compile import BuildOptions, compile_plan

pytestmark = [pytest.mark.gpu, pytest.mark.slow, pytest.mark.timeout(1800)]  # a build takes minutes

QUICK = BuildOptions(opt_batch=8, max_batch=16, optimization_level=1)
Figure = Callable[[str, object], None]


def test_a_plan_is_built_held_against_the_cpu_and_run(tensorrt_gpu: Gpu, model: Model, figure: Figure) -> None:
    phases: list[str] = []
    path = compile_plan(model, BuildOptions(), lambda phase, part: phases.append(phase))
    sidecar = read_sidecar(path)
    assert phases
    assert sidecar.parity is not None
    figure("build seconds", sidecar.build_seconds)
    figure("MB", round(sidecar.plan_bytes / 1e6, 1))
    figure("max |dp|", sidecar.parity.max_abs)
    images = load_reference_inputs(model)
    with open_runner(model, RunnerOptions(device="cpu", precision="float32")) as runner:
        expected = answers(runner, images, 8)
    with open_runner(model, RunnerOptions(device="gpu", batch_size=32, features=True)) as runner:
        outputs = list(runner.run([images[:1], images[1:6], np.resize(images, (70, *images.shape[1:]))]))
        figure("device", runner.info.device)
    assert [len(output.probability) for output in outputs] == [1, 5, 70]
    scores = np.concatenate([outputs[0].probability, outputs[1].probability])
    assert np.abs(scores - expected.probability[:6]).max() <= 5e-3
    assert np.isfinite(outputs[2].features).all()


def test_fifty_cycles_leave_no_device_memory_behind(tensorrt_gpu: Gpu, model: Model, figure: Figure) -> None:
    compile_plan(model, QUICK)
    images = load_reference_inputs(model)
    free = []
    for _ in range(50):
        with open_runner(model, RunnerOptions(device="gpu")) as runner:
            answers(runner, images, 8)
        free.append(free_memory(tensorrt_gpu))
    figure("MiB lost in 49 cycles", round((free[0] - free[-1]) / 2**20, 1))
    assert free[0] - free[-1] <= 64 << 20


def test_a_consumer_that_stops_early_leaves_a_runner_that_works(tensorrt_gpu: Gpu, model: Model) -> None:
    compile_plan(model, QUICK)
    images = load_reference_inputs(model)
    with open_runner(model, RunnerOptions(device="gpu", batch_size=4)) as runner:
        stopped = runner.run(iter([images[:4]] * 20))
        first = next(stopped)
        stopped.close()  # type: ignore[attr-defined]  # a generator
        (again,) = runner.run([images[:4]])
    assert np.array_equal(first.probability, again.probability)


def test_tensorrt_refuses_a_truncated_plan(tensorrt_gpu: Gpu, model: Model, figure: Figure) -> None:
    import hashlib
    import json

    path = compile_plan(model, QUICK)
    half = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(half)
    sidecar = json.loads(sidecar_path(path).read_text())
    sidecar |= {"plan_sha256": hashlib.sha256(half).hexdigest(), "plan_bytes": len(half)}
    sidecar_path(path).write_text(json.dumps(sidecar))
    with pytest.raises(PlanError, match="the plan is refused") as error, open_runner(model, RunnerOptions("gpu")):
        pass
    figure("message", str(error.value)[:200])


def test_a_build_can_be_stopped(tensorrt_gpu: Gpu, model: Model) -> None:
    from mura_batch.runtime.nvidia.cuda import PrimaryContext
    from mura_batch.runtime.nvidia.network import Job, build_plan
    from mura_batch.runtime.nvidia.thread import GpuThread

    cancelled = threading.Event()
    library = import_module("tensorrt")
    job = Job(library, model.onnx.read_bytes(), model.card.input.size, QUICK.plan, lambda config: None)

    def work() -> Any:
        with PrimaryContext(tensorrt_gpu.index):
            return build_plan(job, lambda phase, part: cancelled.set(), cancelled)

    thread = GpuThread()
    try:
        with pytest.raises(PlanError, match="cancelled"):
            thread.submit(work).result(timeout=600)
    finally:
        thread.close()


def test_speed_and_parity_of_every_available_runner_are_measured(
    tensorrt_gpu: Gpu, model: Model, figure: Figure
) -> None:
    compile_plan(model, BuildOptions())
    for record in bench(model, (1, 8, 32)):
        if record.images_per_second is not None:
            figure(f"{record.runner} batch {record.batch_size} img/s", round(record.images_per_second, 1))
        if record.runner == "tensorrt":
            assert record.parity_max_abs is not None
            assert record.parity_max_abs <= 5e-3


def free_memory(gpu: Gpu) -> int:
    import pycuda.driver as cuda

    from mura_batch.runtime.nvidia.cuda import PrimaryContext

    with PrimaryContext(gpu.index):
        return int(cuda.mem_get_info()[0])
