"""ONNX -> serialized TensorRT plan. Runs on the GPU thread with the CUDA context current.

Imported only after CUDA was probed.

Precision lies in the graph: the network is strongly typed, the one way that TensorRT 10 and 11 share. The half body
stays half and the float32 head float32, TF32 being off.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import SupportsInt

import tensorrt as trt

from mura_batch.errors import PlanError
from mura_batch.runtime.tensorrt.log import LOG
from mura_batch.runtime.tensorrt.plans import PlanOptions
from mura_batch.runtime.tensorrt.slot import INPUT, OUTPUTS

Report = Callable[[str, float], None]  # (phase, part of it that is done: 0 to 1), called from TensorRT's own threads


@dataclass(frozen=True, slots=True)
class Job:
    """graph: the ONNX file's bytes. timing_cache: measured kernel times of earlier builds; made if it is not there."""

    graph: bytes
    image_size: int
    options: PlanOptions
    timing_cache: Path


@dataclass(frozen=True, slots=True)
class Built:
    """timings: what the timing cache should hold from now on; b'' where TensorRT gave none."""

    plan: bytes
    timings: bytes


class Monitor(trt.IProgressMonitor):  # type: ignore[misc, unused-ignore]  # Any where TensorRT is not installed
    """Tells the outermost phases to `report`, and stops the build once `cancelled` is set."""

    def __init__(self, report: Report | None, cancelled: threading.Event) -> None:
        trt.IProgressMonitor.__init__(self)  # pybind11 needs the base made by name
        self._report = report
        self._cancelled = cancelled
        self._steps: dict[str, int] = {}
        self.error: Exception | None = None  # of report: an exception must not cross TensorRT's frames

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: SupportsInt) -> None:
        if not parent_phase:
            self._steps[phase_name] = max(1, int(num_steps))
            self._tell(phase_name, 0.0)

    def step_complete(self, phase_name: str, step: SupportsInt) -> bool:
        """False asks TensorRT to stop."""
        if phase_name in self._steps:
            self._tell(phase_name, min(1.0, (int(step) + 1) / self._steps[phase_name]))
        return not self._cancelled.is_set()

    def phase_finish(self, phase_name: str) -> None:
        if self._steps.pop(phase_name, None) is not None:
            self._tell(phase_name, 1.0)

    def _tell(self, phase: str, part: float) -> None:
        if self._report is None or self.error is not None:
            return
        try:
            self._report(phase, part)
        except Exception as error:  # noqa: BLE001  # raised again by `serialize`, outside TensorRT
            self.error = error
            self._cancelled.set()


def serialize(job: Job, report: Report | None, cancelled: threading.Event) -> Built:
    """Builds the plan; minutes. Raises PlanError with TensorRT's own lines when it cannot."""
    monitor = Monitor(report, cancelled)
    builder = trt.Builder(LOG)
    network = strongly_typed_network(builder)
    parser = trt.OnnxParser(network, LOG)
    parse(parser, job.graph)
    check_network(network, job.image_size)
    config = make_config(builder, job)
    config.progress_monitor = monitor
    timings = load_timings(config, job.timing_cache)
    plan = builder.build_serialized_network(network, config)
    if monitor.error is not None:
        raise monitor.error
    if plan is None:
        raise PlanError("the build was cancelled" if cancelled.is_set() else f"TensorRT built nothing: {LOG.take()}")
    kept = timings.serialize()
    return Built(plan=bytes(memoryview(plan)), timings=bytes(memoryview(kept)) if kept is not None else b"")


def strongly_typed_network(builder: trt.Builder) -> trt.INetworkDefinition:
    # By name: the flag's value is 1 on TensorRT 10, which needs it, and 0 on 11, where every network is strongly typed.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    if network is None:
        raise PlanError(f"TensorRT makes no network: {LOG.take()}")
    return network


def parse(parser: trt.OnnxParser, graph: bytes) -> None:
    if not parser.parse(graph):
        errors = [parser.get_error(index).desc() for index in range(parser.num_errors)]
        raise PlanError(f"TensorRT cannot read the model's graph: {' | '.join(errors) or LOG.take()}")


def check_network(network: trt.INetworkDefinition, image_size: int) -> None:
    """Holds the graph to the model's contract: a uint8 input, dynamic in its batch only, three float32 outputs."""
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    found = {tensor.name: (tuple(tensor.shape), tensor.dtype) for tensor in inputs}
    wanted = {INPUT: ((-1, 1, image_size, image_size), trt.DataType.UINT8)}
    if found != wanted:
        raise PlanError(f"the graph takes {found}, not {wanted}; export the model again")
    outputs = {network.get_output(index).name: network.get_output(index).dtype for index in range(network.num_outputs)}
    if outputs != dict.fromkeys(OUTPUTS, trt.DataType.FLOAT):
        raise PlanError(f"the graph gives {outputs}, not {list(OUTPUTS)} in float32; export the model again")


def make_config(builder: trt.Builder, job: Job) -> trt.IBuilderConfig:
    options = job.options
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib << 20)
    config.builder_optimization_level = options.optimization_level
    config.clear_flag(trt.BuilderFlag.TF32)  # on by default; it would round the float32 head to 11 bits
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    item = (1, job.image_size, job.image_size)
    profile = builder.create_optimization_profile()
    profile.set_shape(INPUT, (1, *item), (options.opt_batch, *item), (options.max_batch, *item))
    if config.add_optimization_profile(profile) < 0:
        raise PlanError(f"TensorRT refuses batches of 1 to {options.max_batch}: {LOG.take()}")
    return config


def load_timings(config: trt.IBuilderConfig, path: Path) -> trt.ITimingCache:
    """The cache of earlier builds, or a new one where there is none or it is another GPU's or TensorRT's."""
    known = path.read_bytes() if path.is_file() else b""
    cache = config.create_timing_cache(known)
    if not config.set_timing_cache(cache, ignore_mismatch=False):
        cache = config.create_timing_cache(b"")
        if not config.set_timing_cache(cache, ignore_mismatch=False):
            raise PlanError(f"TensorRT takes no timing cache: {LOG.take()}")
    return cache
