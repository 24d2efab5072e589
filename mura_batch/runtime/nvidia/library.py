"""NVIDIA's Python module as the shared code uses it: `tensorrt` or `tensorrt_rtx`, which is passed in.

Both modules have these names, with the same meaning: TensorRT 10.13 and newer, TensorRT 11, TensorRT-RTX 1.7. What
differs between them is the `Variant`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import tensorrt as trt

    from mura_batch.runtime.nvidia.devices import Gpu
    from mura_batch.runtime.nvidia.plans import Plan
    from mura_batch.runtime.runner import RunnerOptions


class Library(Protocol):
    """The classes that the shared code uses."""

    __version__: str
    Builder: type[trt.Builder]
    BuilderFlag: type[trt.BuilderFlag]
    DataType: type[trt.DataType]
    ExecutionContextAllocationStrategy: type[trt.ExecutionContextAllocationStrategy]
    ILogger: type[trt.ILogger]
    IProgressMonitor: type[trt.IProgressMonitor]
    MemoryPoolType: type[trt.MemoryPoolType]
    NetworkDefinitionCreationFlag: type[trt.NetworkDefinitionCreationFlag]
    OnnxParser: type[trt.OnnxParser]
    Runtime: type[trt.Runtime]
    TensorIOMode: type[trt.TensorIOMode]


class Contexts(Protocol):
    """Creates the execution contexts of one engine. Used and closed on the GPU thread."""

    @property
    def compiles_kernels(self) -> bool:
        """Kernels are compiled when a shape first runs. So every batch runs at the slot's full size, and one batch
        runs before the runner counts as open."""
        ...

    def create(self) -> trt.IExecutionContext | None:
        """A context whose device memory the caller provides; None where the library refuses, and then its log says
        why."""
        ...

    def ready(self) -> None:
        """Called once, when every context has run a batch."""
        ...

    def close(self) -> None:
        """Drops every object of the library; called after the last execution context is gone."""
        ...


@dataclass(frozen=True, slots=True)
class Variant:
    """TensorRT or TensorRT-RTX: its module, and what differs in running a plan.

    name: as in the registry. title: as NVIDIA writes it. check_header: raises PlanError where the first bytes of a plan
    show that this GPU cannot run it. open_contexts: raises RunnerError.
    """

    name: str
    title: str
    library: Library
    check_header: Callable[[trt.Runtime, bytes], None]
    open_contexts: Callable[[trt.ICudaEngine, RunnerOptions, Gpu, Plan], Contexts]
