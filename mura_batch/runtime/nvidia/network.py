"""ONNX -> serialized plan, by either library.

Precision lies in the graph: the network is strongly typed, which all versions have in common. The half body stays half
and the float32 head float32, with TF32 off.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mura_batch.errors import PlanError
from mura_batch.runtime.nvidia.library import Library
from mura_batch.runtime.nvidia.log import logger_of
from mura_batch.runtime.nvidia.monitor import Report, monitor_of
from mura_batch.runtime.nvidia.plans import PlanOptions

if TYPE_CHECKING:
    import tensorrt as trt

INPUT = "images"
OUTPUTS = {"probability": 1, "cam": 3, "features": 2}  # name -> number of dimensions


@dataclass(frozen=True, slots=True)
class Job:
    """graph: the ONNX file's bytes. configure: sets what only this library has; raises PlanError."""

    library: Library
    graph: bytes
    image_size: int
    options: PlanOptions
    configure: Callable[[trt.IBuilderConfig], None]


def build_plan(job: Job, report: Report | None, cancelled: threading.Event) -> bytes:
    """Builds the plan: seconds with TensorRT-RTX, minutes with TensorRT. Raises PlanError with the library's own lines
    when it cannot, and what `report` raised."""
    library = job.library
    log = logger_of(library)
    log.take()  # lines of earlier work explain nothing of this
    monitor = monitor_of(library, report, cancelled)
    builder = library.Builder(log)
    network = strongly_typed_network(library, builder)
    parse(library.OnnxParser(network, log), job)
    check_network(network, job)
    config = make_config(builder, job)
    config.progress_monitor = monitor
    plan = builder.build_serialized_network(network, config)
    if monitor.error is not None:
        raise monitor.error
    if plan is None:
        raise PlanError("the build was cancelled" if cancelled.is_set() else f"no plan was built: {log.take()}")
    return bytes(memoryview(plan))


def strongly_typed_network(library: Library, builder: trt.Builder) -> trt.INetworkDefinition:
    # By name: the flag's value is 1 on TensorRT 10, which needs it, and 0 on 11 and RTX, which always are.
    network = builder.create_network(1 << int(library.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    if network is None:
        raise PlanError(f"no network can be created: {logger_of(library).take()}")
    return network


def parse(parser: trt.OnnxParser, job: Job) -> None:
    if not parser.parse(job.graph):
        errors = [" ".join(parser.get_error(index).desc().split()) for index in range(parser.num_errors)]
        raise PlanError(f"the model's graph cannot be read: {' | '.join(errors) or logger_of(job.library).take()}")


def check_network(network: trt.INetworkDefinition, job: Job) -> None:
    """Raises PlanError unless the graph has the model's contract: a uint8 input, dynamic in its batch only, and three
    float32 outputs."""
    types = job.library.DataType
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    actual = {tensor.name: (tuple(tensor.shape), tensor.dtype) for tensor in inputs}
    wanted = {INPUT: ((-1, 1, job.image_size, job.image_size), types.UINT8)}
    if actual != wanted:
        raise PlanError(f"the graph takes {actual}, not {wanted}; export the model again")
    outputs = {network.get_output(index).name: network.get_output(index).dtype for index in range(network.num_outputs)}
    if outputs != dict.fromkeys(OUTPUTS, types.FLOAT):
        raise PlanError(f"the graph gives {outputs}, not {list(OUTPUTS)} in float32; export the model again")


def make_config(builder: trt.Builder, job: Job) -> trt.IBuilderConfig:
    options, library = job.options, job.library
    config = builder.create_builder_config()
    config.set_memory_pool_limit(library.MemoryPoolType.WORKSPACE, options.workspace_mib << 20)
    config.clear_flag(library.BuilderFlag.TF32)  # on by default; it would round the float32 head to 11 bits
    item = (1, job.image_size, job.image_size)
    profile = builder.create_optimization_profile()
    profile.set_shape(INPUT, (1, *item), (options.opt_batch, *item), (options.max_batch, *item))
    if config.add_optimization_profile(profile) < 0:
        raise PlanError(f"batches of 1 to {options.max_batch} are refused: {logger_of(library).take()}")
    job.configure(config)
    return config
