"""Everything that lives on the GPU while a plan is open. Every method is called on the GPU thread only."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from mura_batch.errors import PlanError, RunnerError
from mura_batch.runtime.nvidia.cuda import OutOfDeviceMemory, PrimaryContext, release
from mura_batch.runtime.nvidia.devices import Gpu
from mura_batch.runtime.nvidia.library import Contexts, Library, Variant
from mura_batch.runtime.nvidia.log import logger_of
from mura_batch.runtime.nvidia.network import INPUT, OUTPUTS
from mura_batch.runtime.nvidia.plans import Plan
from mura_batch.runtime.nvidia.slot import Slot
from mura_batch.runtime.nvidia.thread import forget_frames
from mura_batch.runtime.runner import RunnerOptions

if TYPE_CHECKING:
    import tensorrt as trt

SLOTS = 2  # one computes while the other's copies run; a third was never seen to help


class Session:
    """Freed in this order: execution contexts, buffers, engine, runtime, CUDA context.

    notes: how it was set up, as far as a reader of the manifest should know.
    """

    def __init__(self, variant: Variant, gpu: Gpu, plan: Plan, options: RunnerOptions) -> None:
        self._variant = variant
        self._gpu = gpu
        self._plan = plan
        self._options = options
        self._context: PrimaryContext | None = None
        self._runtime: trt.Runtime | None = None
        self._engine: trt.ICudaEngine | None = None
        self._contexts: Contexts | None = None
        self._image_size = 0
        self.slots: list[Slot] = []
        self.batch_size = 0
        self.notes: list[str] = []

    def open(self, data: bytes, image_size: int) -> None:
        """data: the plan. Raises PlanError for a plan that cannot run here, RunnerError where the GPU fails."""
        library = self._variant.library
        self._image_size = image_size
        try:
            self._context = PrimaryContext(self._gpu.index)
            self._runtime = library.Runtime(logger_of(library))
            # A version-compatible plan holds code that runs on the host.
            self._runtime.engine_host_code_allowed = self._plan.sidecar.options.version_compatible
            self._variant.check_header(self._runtime, data)
            self._engine = deserialize(library, self._runtime, data)
            self.batch_size = min(self._options.batch_size, check_engine(library, self._engine, image_size))
            self._contexts = self._variant.open_contexts(self._engine, self._options, self._gpu, self._plan)
            self._make_slots(self._contexts)
        except BaseException as error:
            forget_frames(error)
            with suppress(RunnerError):  # the reason why it could not be opened says more
                self.close()
            raise

    def _make_slots(self, contexts: Contexts) -> None:
        """If the GPU's memory is full, once more with half the batch, and the manifest says so."""
        try:
            self._fill_slots(contexts)
        except OutOfDeviceMemory as error:
            forget_frames(error)
            self._free_slots()
            if self.batch_size == 1:
                raise
            whole, self.batch_size = self.batch_size, self.batch_size // 2
            self.notes.append(f"batch halved from {whole} to {self.batch_size}: the GPU's memory was full")
            self._fill_slots(contexts)

    def _fill_slots(self, contexts: Contexts) -> None:
        shape = (self.batch_size, 1, self._image_size, self._image_size)
        for _ in range(SLOTS):
            slot = Slot(logger_of(self._variant.library), features=self._options.features)
            self.slots.append(slot)  # before it is opened: what it has created is freed with it
            slot.open(contexts, shape)
            if contexts.compiles_kernels:
                slot.launch(np.zeros(shape, np.uint8))
                slot.collect()
        contexts.ready()

    def _free_slots(self) -> list[RunnerError]:
        failures = [failure for slot in self.slots for failure in slot.close()]
        self.slots.clear()
        return failures

    def close(self) -> None:
        """Frees what there is. The steps after a failed one are done too; the first failure is raised."""
        failures = self._free_slots()
        contexts, self._contexts = self._contexts, None
        if contexts is not None:
            contexts.close()
        self._engine = None
        self._runtime = None
        context, self._context = self._context, None
        if context is not None:
            failures += release("the CUDA context cannot be released", context.close)
        if failures:
            raise failures[0]


def deserialize(library: Library, runtime: trt.Runtime, data: bytes) -> trt.ICudaEngine:
    """Raises PlanError for a plan of another library version or GPU, and where the engine does not fit into the GPU."""
    engine = runtime.deserialize_cuda_engine(data)
    if engine is None:
        lines = logger_of(library).take()
        raise PlanError(f"the plan is refused: {lines}. Build it again with mura-batch compile")
    return engine


def check_engine(library: Library, engine: trt.ICudaEngine, image_size: int) -> int:
    """Raises PlanError unless the plan has the model's contract; returns the largest batch that it takes."""
    modes, types = library.TensorIOMode, library.DataType
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    inputs = [name for name in names if engine.get_tensor_mode(name) == modes.INPUT]
    outputs = [name for name in names if engine.get_tensor_mode(name) == modes.OUTPUT]
    if inputs != [INPUT] or sorted(outputs) != sorted(OUTPUTS):
        raise PlanError(f"the plan takes {inputs} and gives {outputs}; expected {[INPUT]} and {list(OUTPUTS)}")
    wanted = {INPUT: types.UINT8} | dict.fromkeys(OUTPUTS, types.FLOAT)
    for name, dtype in wanted.items():
        if engine.get_tensor_dtype(name) != dtype:
            raise PlanError(f"the plan's {name} is {engine.get_tensor_dtype(name)}, expected {dtype}")
    largest = tuple(engine.get_tensor_profile_shape(INPUT, 0)[2])  # [min, opt, max]; defined for inputs only
    if largest[1:] != (1, image_size, image_size):
        raise PlanError(f"the plan takes images of shape {largest[1:]}, the model {(1, image_size, image_size)}")
    return int(largest[0])
