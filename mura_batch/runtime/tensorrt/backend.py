"""The TensorRT backend as the registry knows it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mura_batch.model_card import Model
from mura_batch.runtime.backend import Absent, Check, Opener
from mura_batch.runtime.nvidia.devices import GPU_EXTRA, Gpu
from mura_batch.runtime.nvidia.gpu_checks import gpu_checks, installed, plan_check
from mura_batch.runtime.nvidia.library import Library, Variant
from mura_batch.runtime.nvidia.module import gpu_with_library
from mura_batch.runtime.nvidia.plans import Plan, Target, compile_command, select_plan
from mura_batch.runtime.runner import Runner, RunnerOptions

if TYPE_CHECKING:
    import tensorrt as trt

TITLE = "TensorRT"
OLDEST_TENSORRT = (10, 13)  # as pyproject's extra `gpu`


def find(options: RunnerOptions) -> Opener | Absent:
    """Usable where pycuda sees a GPU and TensorRT can be imported."""
    found = usable_gpu(options.gpu)
    return found if isinstance(found, Absent) else partial(_open, options, *found)


def usable_gpu(selector: str) -> tuple[Gpu, Library] | Absent:
    return gpu_with_library(selector, "tensorrt", TITLE, GPU_EXTRA)


def _open(options: RunnerOptions, gpu: Gpu, library: Library, model: Model, reason: str) -> Runner:
    from mura_batch.runtime.nvidia.runner import PlanRunner

    return PlanRunner(variant(library), model, options, gpu, _select(library, model, gpu), reason)


def _select(library: Library, model: Model, gpu: Gpu) -> Plan:
    options = ("--gpu", str(gpu.index)) if gpu.index else ()
    return select_plan(model, target_of(library, gpu), compile_command(model, *options))


def target_of(library: Library, gpu: Gpu) -> Target:
    """What a plan must have been built for to run here: this version and this GPU model."""
    return Target(TITLE, library.__version__, (gpu.compute_capability,), gpu.name, gpu.sm_count)


def variant(library: Library) -> Variant:
    return Variant(
        "tensorrt",
        TITLE,
        library,
        check_header=lambda runtime, data: None,
        open_contexts=lambda engine, options, gpu, plan: _Contexts(library, engine),
    )


class _Contexts:
    """Contexts protocol."""

    compiles_kernels = False

    def __init__(self, library: Library, engine: trt.ICudaEngine) -> None:
        self._strategy = library.ExecutionContextAllocationStrategy.USER_MANAGED
        self._engine: trt.ICudaEngine | None = engine

    def create(self) -> trt.IExecutionContext | None:
        return None if self._engine is None else self._engine.create_execution_context(self._strategy)

    def ready(self) -> None:
        pass

    def close(self) -> None:
        self._engine = None


def checks(model_folder: Path, cache_dir: Path | None) -> Iterator[Check]:
    yield from gpu_checks()
    yield _version()
    yield plan_check("tensorrt plan", usable_gpu("0"), model_folder, cache_dir, _select)


def _version() -> Check:
    number = installed("tensorrt")
    if not number:
        return Check("tensorrt", "warn", "is not installed", f"For a GPU: {GPU_EXTRA}")
    if tuple(int(part) for part in number.split(".")[:2] if part.isdigit()) < OLDEST_TENSORRT:
        return Check("tensorrt", "fail", f"{number} is too old", "pip install --upgrade 'mura-batch[gpu]'")
    return Check("tensorrt", "ok", number)
