"""The TensorRT backend as the registry knows it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mura_batch.errors import ModelError, PlanError
from mura_batch.model_card import Model, load_model
from mura_batch.runtime.backend import Absent, Check, Opener
from mura_batch.runtime.nvidia.checks import gpu_checks, optional_package
from mura_batch.runtime.nvidia.devices import GPU_EXTRA, Gpu, find_gpu
from mura_batch.runtime.runner import Runner, RunnerOptions

OLDEST_TENSORRT = (10, 13)  # as pyproject's extra `gpu`


def find(options: RunnerOptions) -> Opener | Absent:
    """Usable where pycuda sees a GPU and TensorRT can be imported."""
    gpu = usable_gpu(options.gpu)
    return gpu if isinstance(gpu, Absent) else partial(_open, options, gpu)


def usable_gpu(selector: str) -> Gpu | Absent:
    """The GPU named by index or UUID, if TensorRT can be imported. Raises InputError if the name fits none."""
    gpu = find_gpu(selector)
    if isinstance(gpu, Absent):
        return gpu
    try:
        import tensorrt  # noqa: F401  # is it installed, and do its libraries load?
    except (ImportError, OSError) as error:
        reason = f"this machine has an NVIDIA GPU ({gpu.name}) but TensorRT cannot be loaded: {error}"
        return Absent(reason, f"Install it with: {GPU_EXTRA}")
    return gpu


def _open(options: RunnerOptions, gpu: Gpu, model: Model, reason: str) -> Runner:
    from mura_batch.runtime.tensorrt.plans import select_plan
    from mura_batch.runtime.tensorrt.runner import TensorRTRunner, target_of

    plan = select_plan(model, target_of(gpu), gpu.index)
    return TensorRTRunner(model, options, gpu, plan, reason)


def checks(model_folder: Path) -> Iterator[Check]:
    yield from gpu_checks()
    yield optional_package("tensorrt", OLDEST_TENSORRT, GPU_EXTRA)
    yield _plan(model_folder)


def _plan(model_folder: Path) -> Check:
    """Is there a plan for the first GPU?"""
    from mura_batch.runtime.tensorrt.plans import read_plan, select_plan

    name = "tensorrt plan"
    gpu = usable_gpu("0")
    if isinstance(gpu, Absent):
        return Check(name, "ok", "none is needed without a GPU that TensorRT can use")
    from mura_batch.runtime.tensorrt.runner import target_of

    try:
        plan = select_plan(load_model(model_folder), target_of(gpu), gpu.index)
        read_plan(plan)
    except ModelError as error:
        return Check(name, "fail", f"the model cannot be read: {error}", "Copy the model folder again.")
    except PlanError as error:
        text, _, command = str(error).partition("Build one with: ")
        return Check(name, "fail", text.strip().replace("\n", " "), command or "Build it again: mura-batch compile")
    return Check(name, "ok", f"{plan.path.name}; {plan.sidecar.parity or 'parity not measured'}")
