"""`mura-batch compile`: model.onnx -> plan, held against the CPU runner before it is kept."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mura_batch.atomic_files import write_atomic
from mura_batch.errors import InputError, ModelError, OutputError, PlanError, RunnerError
from mura_batch.model_card import Model
from mura_batch.runtime.backend import Absent
from mura_batch.runtime.cpu_answers import cpu_answers
from mura_batch.runtime.nvidia.devices import Gpu
from mura_batch.runtime.onnx_file import read_graph
from mura_batch.runtime.parity import FP16_GATE, Parity, answers, compare_outputs, load_reference_inputs
from mura_batch.runtime.runner import RunnerOptions
from mura_batch.runtime.tensorrt.backend import usable_gpu
from mura_batch.runtime.tensorrt.plans import (
    ANOTHER_FOLDER,
    Plan,
    PlanOptions,
    Sidecar,
    Target,
    plan_name,
    publish,
    slug,
)
from mura_batch.version import __version__

if TYPE_CHECKING:
    from mura_batch.runtime.tensorrt.network import Built, Job

MAX_OPTIMIZATION_LEVEL = 5  # TensorRT's own range is 0 to 5
CANCEL_SECONDS = 120.0  # TensorRT looks at the monitor between steps; one step can take a minute


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What `compile` was asked for. The defaults hold 2 x 32 images of 320 px in flight."""

    out: Path | None = None  # folder of the plan; None is the model's own, the only one where `score` looks
    gpu: str = "0"  # index or UUID
    opt_batch: int = 16  # the batch that TensorRT makes fastest
    max_batch: int = 32
    workspace_mib: int = 4096
    optimization_level: int = 3  # 0 to 5; TensorRT's default is 3, each step up builds longer
    timing_cache: Path | None = None  # None keeps one beside the plan
    version_compatible: bool = False  # runs on later TensorRT of the same major version, more slowly

    @property
    def plan(self) -> PlanOptions:
        return PlanOptions(
            self.opt_batch, self.max_batch, self.workspace_mib, self.optimization_level, self.version_compatible
        )


def compile_plan(model: Model, options: BuildOptions, report: Callable[[str, float], None] | None = None) -> Path:
    """Builds a plan for one GPU of this machine; gives its path. The plan and its sidecar appear whole or not at all.

    report(phase, part): progress, part from 0 to 1, called from other threads. Ctrl-C stops the build between two
    steps of TensorRT and leaves nothing. Raises InputError, RunnerError, PlanError, OutputError.
    """
    check_build_options(options)
    gpu = _gpu(options.gpu)
    from mura_batch.runtime.tensorrt.runner import target_of

    target = target_of(gpu)
    folder = _writable(options.out or model.folder)
    path = folder / f"{plan_name(model.hash, target, options.plan)}.plan"
    staged = folder / f".{path.stem}.{os.getpid()}.building"
    timings = options.timing_cache or folder / f"{slug(target.gpu)}.trt{target.tensorrt}.timing"
    begun = time.monotonic()
    built = _build(model, options.plan, timings, gpu, report)
    try:
        write_atomic(staged, built.plan, ANOTHER_FOLDER)
        sidecar = _describe(model, options.plan, target, gpu, built.plan, time.monotonic() - begun)
        publish(staged, path, _accepted(model, gpu, Plan(staged, sidecar)))
        if built.timings:
            write_atomic(timings, built.timings, ANOTHER_FOLDER)
    finally:
        staged.unlink(missing_ok=True)
    return path


def check_build_options(options: BuildOptions) -> None:
    if not 1 <= options.opt_batch <= options.max_batch:
        raise InputError(f"--opt-batch {options.opt_batch}: use 1 to --max-batch ({options.max_batch})")
    if not 0 <= options.optimization_level <= MAX_OPTIMIZATION_LEVEL:
        raise InputError(f"--optimization-level {options.optimization_level}: use 0 to {MAX_OPTIMIZATION_LEVEL}")
    if options.workspace_mib < 1:
        raise InputError(f"--workspace {options.workspace_mib}: use 1 MiB or more")


def _gpu(selector: str) -> Gpu:
    found = usable_gpu(selector)
    if isinstance(found, Absent):
        raise RunnerError(f"a plan is built on the GPU that runs it, and {found.reason}. {found.fix}")
    return found


def _writable(folder: Path) -> Path:
    """Told now, not after minutes of building."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}; give another folder with --out") from error
    if not os.access(folder, os.W_OK):
        raise OutputError(
            f"{folder} cannot be written to. Copy the model folder to a place that can, compile it there, and score "
            "with --model"
        )
    return folder


def _build(
    model: Model, options: PlanOptions, timings: Path, gpu: Gpu, report: Callable[[str, float], None] | None
) -> Built:
    """On a GPU thread, so that Ctrl-C is heard here while TensorRT works there."""
    from mura_batch.runtime.nvidia.cuda import GpuThread
    from mura_batch.runtime.tensorrt.network import Job

    graph = read_graph(model.onnx)
    if hashlib.sha256(graph).hexdigest() != model.hash:
        raise ModelError(f"{model.onnx} has changed since it was loaded; run the command again")
    job = Job(graph, model.card.input.size, options, timings)
    thread, cancelled = GpuThread(), threading.Event()
    try:
        future = thread.submit(partial(_on_gpu, gpu.index, job, report, cancelled))
        return _heed_ctrl_c(future, cancelled)
    finally:
        thread.close()


def _on_gpu(index: int, job: Job, report: Callable[[str, float], None] | None, cancelled: threading.Event) -> Built:
    from mura_batch.runtime.nvidia.cuda import PrimaryContext, cuda_errors
    from mura_batch.runtime.tensorrt.network import serialize

    with PrimaryContext(index), cuda_errors("the build failed"):
        return serialize(job, report, cancelled)


def _heed_ctrl_c(future: Future[Built], cancelled: threading.Event) -> Built:
    try:
        return future.result()
    except KeyboardInterrupt:
        cancelled.set()
        with suppress(TimeoutError):  # the thread is a daemon: the process can end without it
            future.exception(timeout=CANCEL_SECONDS)
        raise


def _describe(model: Model, options: PlanOptions, target: Target, gpu: Gpu, plan: bytes, seconds: float) -> Sidecar:
    return Sidecar(
        model_name=f"{model.card.name} {model.card.version}",
        model_hash=model.hash,
        target=target,
        options=options,
        driver=gpu.driver,
        cuda=gpu.cuda,
        plan_sha256=hashlib.sha256(plan).hexdigest(),
        plan_bytes=len(plan),
        build_seconds=round(seconds, 1),
        built_at=datetime.now(UTC).isoformat(timespec="seconds"),
        program=__version__,
        parity=None,
    )


def _accepted(model: Model, gpu: Gpu, plan: Plan) -> Sidecar:
    """The sidecar with the parity figures; raises PlanError, by how much, where the gate does not hold."""
    from dataclasses import replace

    parity = plan_parity(model, gpu, plan)
    if failures := parity.failures(FP16_GATE):
        raise PlanError(
            f"the plan was built but is not kept: {'; '.join(failures)}, over {parity.n} reference images against the "
            "CPU in float32. Try another --optimization-level, or score with --device cpu"
        )
    return replace(plan.sidecar, parity=parity)


def plan_parity(model: Model, gpu: Gpu, plan: Plan) -> Parity:
    """The model's reference inputs through the plan, in whole batches and a rest, and through the CPU in float32."""
    from mura_batch.runtime.tensorrt.runner import TensorRTRunner

    images = load_reference_inputs(model)
    expected = cpu_answers(model, "float32", images)
    options = RunnerOptions(batch_size=min(plan.sidecar.options.opt_batch, 8), features=True)
    with TensorRTRunner(model, options, gpu, plan, "parity") as gpu_runner:
        actual = answers(gpu_runner, images, options.batch_size)
    return compare_outputs(expected.probability, actual, model.card.threshold, FP16_GATE)
