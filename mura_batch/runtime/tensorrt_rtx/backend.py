"""The TensorRT-RTX backend as the registry knows it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mura_batch.errors import PlanError
from mura_batch.model_card import Model
from mura_batch.runtime.backend import Absent, Check, Opener
from mura_batch.runtime.nvidia.devices import GPU_EXTRA, Gpu, find_gpu
from mura_batch.runtime.nvidia.gpu_checks import gpu_checks, installed, plan_check
from mura_batch.runtime.nvidia.library import Library, Variant
from mura_batch.runtime.nvidia.log import logger_of
from mura_batch.runtime.nvidia.module import gpu_with_library
from mura_batch.runtime.nvidia.plans import Plan, Target, compile_command, select_plan, serves
from mura_batch.runtime.runner import Runner, RunnerOptions
from mura_batch.runtime.tensorrt_rtx.jit import JitContexts

if TYPE_CHECKING:
    import tensorrt_rtx as trt

NAME = "rtx"
TITLE = "TensorRT-RTX"
MODULE = "tensorrt_rtx"
RTX_EXTRA = "pip install 'mura-batch[rtx]'"
RTX_CU12_EXTRA = "pip install 'mura-batch[rtx-cu12]'"
PACKAGES = ("tensorrt-rtx-cu13", "tensorrt-rtx-cu12")
# One plan for all of these is what TensorRT-RTX 1.7 builds by default; it refuses to load on 9.0 and 10.x.
DEFAULT_CAPABILITIES = ("8.0", "8.6", "8.9", "12.x")
TURING = "7.5"  # has to be built for by itself


def find(options: RunnerOptions) -> Opener | Absent:
    """Usable where pycuda sees a GPU of a capability that TensorRT-RTX serves and the library can be imported."""
    found = usable_gpu(options.gpu)
    return found if isinstance(found, Absent) else partial(_open, options, *found)


def usable_gpu(selector: str) -> tuple[Gpu, Library] | Absent:
    """Raises InputError if the name fits no GPU."""
    gpu = find_gpu(selector)
    if isinstance(gpu, Absent):
        return gpu
    if not any(serves(entry, gpu.compute_capability) for entry in (TURING, *DEFAULT_CAPABILITIES)):
        reason = f"{TITLE} does not run on compute capability {gpu.compute_capability} ({gpu.name})"
        return Absent(reason, f"That GPU needs TensorRT: {GPU_EXTRA}")
    return _old_driver(gpu) or gpu_with_library(selector, MODULE, TITLE, RTX_EXTRA)


def _old_driver(gpu: Gpu) -> Absent | None:
    """The wheel for CUDA 13 needs a driver that serves CUDA 13."""
    if not installed(PACKAGES[0]) or int(gpu.cuda.split(".")[0]) >= 13:
        return None
    return Absent(
        f"{PACKAGES[0]} needs a driver for CUDA 13, and driver {gpu.driver or 'here'} serves CUDA {gpu.cuda}",
        f"Update NVIDIA's driver, or: pip uninstall {PACKAGES[0]} && {RTX_CU12_EXTRA}",
        is_broken=True,
    )


def _open(options: RunnerOptions, gpu: Gpu, library: Library, model: Model, reason: str) -> Runner:
    from mura_batch.runtime.nvidia.runner import PlanRunner

    return PlanRunner(variant(library), model, options, gpu, _select(library, model, gpu), reason)


def _select(library: Library, model: Model, gpu: Gpu) -> Plan:
    options = ["--backend", NAME]
    if gpu.compute_capability == TURING:
        options += ["--compute-capability", TURING]
    machine = Target(TITLE, library.__version__, (gpu.compute_capability,), gpu.name, gpu.sm_count)
    return select_plan(model, machine, compile_command(model, *options))


def variant(library: Library) -> Variant:
    return Variant(NAME, TITLE, library, check_header, partial(JitContexts, library))


def check_header(runtime: trt.Runtime, data: bytes) -> None:
    """Asks for the validity of a plan by its first bytes, before it is loaded. Raises PlanError."""
    import tensorrt_rtx as trt

    validity, bits = runtime.get_engine_validity(data[: runtime.engine_header_size])
    if validity == trt.EngineValidity.INVALID:
        causes = [
            re.sub("_", " ", name.lower())
            for name, flag in trt.EngineInvalidityDiagnostics.__members__.items()
            if int(bits) & int(flag)
        ]
        raise PlanError(
            f"{TITLE} cannot run this plan on this GPU ({', '.join(causes) or logger_of(trt).take()}). Build it again "
            f"with mura-batch compile --backend {NAME}"
        )


def checks(model_folder: Path, cache_dir: Path | None) -> Iterator[Check]:
    yield from gpu_checks()
    number = installed(*PACKAGES)
    yield Check(NAME, "ok", number) if number else Check(NAME, "warn", "is not installed", f"For a GPU: {RTX_EXTRA}")
    yield plan_check(f"{NAME} plan", usable_gpu("0"), model_folder, cache_dir, _select)
