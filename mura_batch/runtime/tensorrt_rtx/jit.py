"""How TensorRT-RTX compiles kernels on the GPU that runs a plan, and the cache that spares later starts that work.

A plan of TensorRT-RTX holds no kernels. They are compiled when a shape first runs. Every batch therefore runs at one
size, and the session runs one batch before it counts as open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mura_batch.errors import RunnerError
from mura_batch.runtime.nvidia.devices import Gpu
from mura_batch.runtime.nvidia.library import Library
from mura_batch.runtime.nvidia.log import logger_of
from mura_batch.runtime.nvidia.plans import Plan
from mura_batch.runtime.registry import entry_named
from mura_batch.runtime.runner import RunnerOptions
from mura_batch.runtime.start_cache import HashedFile

if TYPE_CHECKING:
    import tensorrt_rtx as trt

MOST_CACHES = 3  # one for each model, GPU and way of running; the newest are kept
MOST_BYTES = 256 << 20  # a larger cache is not kept


class JitContexts:
    """Contexts protocol. Raises RunnerError where the library refuses a setting."""

    compiles_kernels = True

    def __init__(self, library: Library, engine: trt.ICudaEngine, options: RunnerOptions, gpu: Gpu, plan: Plan) -> None:
        import tensorrt_rtx as trt

        settings = entry_named("rtx").settings(options.backend_options)
        basis = (
            plan.sidecar.plan_sha256, library.__version__, gpu.name, gpu.compute_capability, gpu.driver,
            sorted(settings.items()),
        )  # fmt: skip
        self._file = HashedFile(options.cache_dir, "kernels", basis, MOST_CACHES)
        self._engine: trt.ICudaEngine | None = engine
        config = engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        strategies = trt.DynamicShapesKernelSpecializationStrategy
        config.dynamic_shapes_kernel_specialization_strategy = {
            "eager": strategies.EAGER, "lazy": strategies.LAZY, "none": strategies.NONE,
        }[settings["kernels"]]  # fmt: skip
        graphs = trt.CudaGraphStrategy
        config.cuda_graph_strategy = {"on": graphs.WHOLE_GRAPH_CAPTURE, "off": graphs.DISABLED}[settings["cuda-graphs"]]
        self._cache: trt.IRuntimeCache | None = config.create_runtime_cache()
        if known := self._file.read():
            self._cache.deserialize(known)  # False for another driver's or a damaged one: it stays empty
        if not config.set_runtime_cache(self._cache):
            raise RunnerError(f"no cache of kernels is taken: {logger_of(library).take()}")
        self._config: trt.IRuntimeConfig | None = config

    def create(self) -> trt.IExecutionContext | None:
        if self._engine is None or self._config is None:
            return None
        return self._engine.create_execution_context(runtime_config=self._config)

    def ready(self) -> None:
        """Keeps what was compiled."""
        content = self._cache.serialize() if self._cache is not None else None
        if content is not None and content.nbytes <= MOST_BYTES:
            self._file.write(bytes(memoryview(content)))

    def close(self) -> None:
        self._engine = None
        self._config = None
        self._cache = None
