"""`mura-batch compile`: model.onnx -> a TensorRT plan for a GPU of this machine, accepted before it is kept."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mura_batch.atomic_files import write_atomic
from mura_batch.errors import RunnerError
from mura_batch.model_card import Model
from mura_batch.runtime.backend import Absent
from mura_batch.runtime.nvidia.acceptance import measure, require_gate
from mura_batch.runtime.nvidia.build import (
    Staged,
    check_plan_options,
    run_cancellable,
    staged_plan,
    verified_graph,
    writable,
)
from mura_batch.runtime.nvidia.devices import Gpu
from mura_batch.runtime.nvidia.library import Library
from mura_batch.runtime.nvidia.monitor import Report
from mura_batch.runtime.nvidia.network import Job, build_plan
from mura_batch.runtime.nvidia.plans import OTHER_FOLDER, Plan, PlanOptions, Sidecar, publish, slug
from mura_batch.runtime.parity import answers
from mura_batch.runtime.runner import RunnerOptions
from mura_batch.runtime.tensorrt.backend import target_of, usable_gpu, variant
from mura_batch.runtime.tensorrt.timing_cache import Timings


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


def compile_plan(model: Model, options: BuildOptions, report: Report | None = None) -> Path:
    """Builds a plan for one GPU of this machine; returns its path. Plan and sidecar appear whole or not at all.

    report(phase, part): progress, part from 0 to 1, called from other threads. Ctrl-C stops the build between two
    steps of TensorRT and leaves nothing. Raises InputError, RunnerError, PlanError, OutputError.
    """
    check_plan_options(options.plan)
    found = usable_gpu(options.gpu)
    if isinstance(found, Absent):
        raise RunnerError(
            f"a TensorRT plan is built on the GPU that runs it, and {found.reason}. {found.fix} (--backend rtx builds "
            "a TensorRT-RTX plan on any machine)"
        )
    gpu, library = found
    folder = writable(options.out or model.folder)
    target = target_of(library, gpu)
    timings = Timings(
        library, options.timing_cache or folder / f"{slug(gpu.name)}.trt{library.__version__}.timing", options.plan
    )
    job = Job(library, verified_graph(model), model.card.input.size, options.plan, timings.attach)
    build = partial(run_cancellable, partial(_on_gpu, gpu, job, timings, report))
    with staged_plan(model, folder, target, options.plan, gpu, build) as staged:
        publish(staged.staged, staged.path, _accepted(model, gpu, library, staged))
        if timings.measured:
            write_atomic(timings.path, timings.measured, OTHER_FOLDER)
    return staged.path


def _on_gpu(gpu: Gpu, job: Job, timings: Timings, report: Report | None, cancelled: threading.Event) -> bytes:
    from mura_batch.runtime.nvidia.cuda import PrimaryContext, cuda_errors

    with PrimaryContext(gpu.index), cuda_errors("the build failed"):
        try:
            plan = build_plan(job, report, cancelled)
            timings.read()
        finally:
            timings.close()
        return plan


def _accepted(model: Model, gpu: Gpu, library: Library, staged: Staged) -> Sidecar:
    """The sidecar with the parity figures. Raises PlanError, by how much, where the gate is missed."""
    from mura_batch.runtime.nvidia.runner import PlanRunner

    # Whole batches and a rest.
    options = RunnerOptions(batch_size=min(staged.sidecar.options.opt_batch, 8), features=True)
    plan = Plan(staged.staged, staged.sidecar, is_staged=True)
    with PlanRunner(variant(library), model, options, gpu, plan, "parity") as runner:
        parity = measure(model, lambda images: answers(runner, images, options.batch_size))
    require_gate(parity, "the plan was built but is not kept")
    return replace(staged.sidecar, parity=parity)
