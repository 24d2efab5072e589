"""Which device runs the model: decided once, at the start, with the reason on record."""

from __future__ import annotations

from typing import assert_never

from mura_batch.errors import InputError, PlanError, RunnerError
from mura_batch.model_card import Model
from mura_batch.runtime.nvidia.devices import Gpu, NoGpu, find_gpu
from mura_batch.runtime.runner import Runner, RunnerOptions

DEVICES = ("auto", "gpu", "cpu")
PRECISIONS = ("auto", "float32", "bf16", "int8")
MAX_BATCH = 1024  # of 320 px images: 105 MB of input; more cannot be meant


def open_runner(model: Model, options: RunnerOptions) -> Runner:
    """Decides the device once and gives its runner, not yet entered; `info.reason` says why this one.

    auto: the GPU when CUDA, pycuda and TensorRT are there, and then a plan that matches must lie beside the model;
    the CPU only where no usable GPU is found. Raises RunnerError or PlanError that says how to fix it, InputError on
    a wrong option.
    """
    check_options(options)
    if options.device == "cpu":
        return _cpu(model, options, "CPU as asked for")
    match find_gpu(options.gpu):
        case Gpu() as gpu:
            return _gpu(model, options, gpu)
        case NoGpu() as absent:
            return _without_gpu(model, options, absent)
        case never:
            assert_never(never)


def check_options(options: RunnerOptions) -> None:
    """Raises InputError that names the option and lists what it may be."""
    for name, allowed in (("device", DEVICES), ("precision", PRECISIONS)):
        if (value := getattr(options, name)) not in allowed:
            raise InputError(f"--{name} {value!r}: use one of {', '.join(allowed)}")
    if not 1 <= options.batch_size <= MAX_BATCH:
        raise InputError(f"--batch-size {options.batch_size}: use 1 to {MAX_BATCH}")
    if options.threads is not None and options.threads < 1:
        raise InputError(f"--threads {options.threads}: use 1 or more, or leave it out")
    if options.device == "gpu" and options.precision != "auto":
        raise InputError(f"--precision {options.precision} is for the CPU: on a GPU the plan's own precision runs")


def _without_gpu(model: Model, options: RunnerOptions, absent: NoGpu) -> Runner:
    if options.device == "gpu":
        raise RunnerError(f"--device gpu: {absent.reason}. {absent.mend}")
    if absent.is_broken:  # a GPU is there: to take the CPU now would be a silent CPU night
        raise RunnerError(f"{absent.reason}. {absent.mend} To run without it: --device cpu")
    return _cpu(model, options, f"CPU, since {absent.reason}")


def _cpu(model: Model, options: RunnerOptions, reason: str) -> Runner:
    from mura_batch.runtime.openvino.runner import OpenVinoRunner

    return OpenVinoRunner(model, options, reason)


def _gpu(model: Model, options: RunnerOptions, gpu: Gpu) -> Runner:
    from mura_batch.runtime.tensorrt.plans import select_plan
    from mura_batch.runtime.tensorrt.runner import TensorRTRunner, target_of

    if options.precision != "auto":
        raise InputError(f"--precision {options.precision} is for the CPU and a GPU is here: add --device cpu")
    try:
        plan = select_plan(model, target_of(gpu), gpu.index)
    except PlanError as error:
        if options.device == "gpu":
            raise
        raise PlanError(f"{error}\nTo run on the CPU instead: --device cpu") from error
    how = "asked for" if options.device == "gpu" else "found, with a plan that matches it"
    return TensorRTRunner(model, options, gpu, plan, f"GPU as {how}")
