"""One batch in flight on the GPU. Everything here runs on the GPU thread."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mura_batch.errors import PlanError, RunnerError
from mura_batch.runtime.nvidia.cuda import (
    MEMORY_FIX,
    Buffer,
    OutOfDeviceMemory,
    allocate,
    cuda_errors,
    new_event,
    new_stream,
    release,
)
from mura_batch.runtime.nvidia.library import Contexts
from mura_batch.runtime.nvidia.log import LogLines
from mura_batch.runtime.nvidia.network import INPUT, OUTPUTS
from mura_batch.runtime.parity import is_finite
from mura_batch.runtime.runner import Outputs

if TYPE_CHECKING:
    import tensorrt as trt


@dataclass(slots=True)
class _Scratch:
    """Device memory that an execution context computes in."""

    memory: Any = None
    size: int = 0


class Slot:
    """One batch in flight: its own execution context, stream, event, page-locked and device buffers."""

    def __init__(self, log: LogLines, *, features: bool) -> None:
        """log: the library's. features: fetch that output as well."""
        self._log = log
        self._fetched = tuple(name for name in OUTPUTS if features or name != "features")
        self._context: trt.IExecutionContext | None = None
        self._stream: Any = None
        self._done: Any = None
        self._input: Buffer | None = None
        self._outputs: dict[str, Buffer] = {}  # of the outputs that are fetched
        self._unfetched: list[Any] = []  # device memory of the others: TensorRT needs an address for each output
        self._scratch = _Scratch()
        self._shape: tuple[int, ...] = ()  # of the last batch: TensorRT plans anew only when it changes
        self._count = 0
        self._is_fixed = False

    def open(self, contexts: Contexts, shape: tuple[int, ...]) -> None:
        """shape: [N, 1, S, S], the largest batch that will come."""
        self._is_fixed = contexts.compiles_kernels
        with cuda_errors("the GPU's buffers cannot be made"):
            # We provide its memory: as much as this batch needs, not the profile's largest.
            self._context = contexts.create()
            if self._context is None:
                raise _refused("no execution context can be created", self._log.take())
            self._stream, self._done = new_stream(), new_event()
            self._input = Buffer(shape, np.uint8)
            self._set_address(INPUT, self._input.address)
            shapes = self._reshape(shape)
            for name, output_shape in shapes.items():
                self._set_address(name, self._output_address(name, output_shape))

    def _output_address(self, name: str, shape: tuple[int, ...]) -> int:
        if name in self._fetched:
            self._outputs[name] = Buffer(shape, np.float32)
            return self._outputs[name].address
        self._unfetched.append(allocate(math.prod(shape) * np.dtype(np.float32).itemsize))
        return int(self._unfetched[-1])

    def launch(self, images: NDArray[np.uint8]) -> None:
        """Copies the batch to page-locked memory and queues everything; returns before the GPU has begun.

        Where the shape is fixed, the rows behind the batch are those of an earlier one; their results are not fetched.
        """
        context, buffer = self._opened()
        with cuda_errors("a batch cannot be started on the GPU"):
            if images.shape != self._shape and not self._is_fixed:
                self._reshape(images.shape)
            self._count = len(images)
            np.copyto(buffer.host[: self._count], images)
            buffer.to_device(self._count, self._stream)
            if not context.execute_async_v3(self._stream.handle):
                raise _refused("a batch cannot be run", self._log.take(), RunnerError)
            for output in self._outputs.values():
                output.to_host(self._count, self._stream)
            self._done.record(self._stream)

    def collect(self) -> Outputs:
        """Waits for the batch; copies of its outputs."""
        with cuda_errors("the GPU does not give a batch back"):
            self._done.synchronize()
        arrays = {name: buffer.host[: self._count].copy() for name, buffer in self._outputs.items()}
        outputs = Outputs(arrays["probability"], arrays["cam"], arrays.get("features"))
        if not is_finite(outputs):
            raise RunnerError(
                "scores of the GPU are not numbers: FP16 overflowed. Build the plan again, or use --device cpu"
            )
        return outputs

    def wait(self) -> None:
        """Until the GPU has let go of this slot's memory."""
        if self._stream is not None:
            with cuda_errors("the GPU does not finish its work"):
                self._stream.synchronize()

    def close(self) -> list[RunnerError]:
        """Frees everything, whatever fails on the way; gives the failures."""
        failures = release("the GPU does not finish its work", self.wait)
        self._context = None
        buffers = [buffer for buffer in (self._input, *self._outputs.values()) if buffer is not None]
        self._input, self._outputs = None, {}
        for buffer in buffers:
            failures += release("a buffer cannot be freed", buffer.close)
        memory = [*self._unfetched, *filter(None, [self._scratch.memory])]
        self._unfetched, self._scratch = [], _Scratch()
        for block in memory:
            failures += release("a buffer cannot be freed", block.free)
        self._done = self._stream = None
        return failures

    def _opened(self) -> tuple[trt.IExecutionContext, Buffer]:
        if self._context is None or self._input is None:
            raise RunnerError("the runner is not open")
        return self._context, self._input

    def _set_address(self, name: str, address: int) -> None:
        context, _ = self._opened()
        if not context.set_tensor_address(name, address):
            raise RunnerError(f"the address of {name} is refused: {self._log.take()}")

    def _reshape(self, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Sets the input's shape and gives the outputs'; they are what the model's contract says or it raises."""
        context, _ = self._opened()
        if not context.set_input_shape(INPUT, shape):
            raise RunnerError(f"a batch of shape {shape} is refused: {self._log.take()}")
        if missing := context.infer_shapes():
            raise RunnerError(f"unknown shapes of {', '.join(missing)}: {self._log.take()}")
        shapes = {name: tuple(context.get_tensor_shape(name)) for name in OUTPUTS}
        for name, dimensions in OUTPUTS.items():
            if len(shapes[name]) != dimensions or shapes[name][0] != shape[0] or min(shapes[name]) < 1:
                raise PlanError(f"the plan's output {name} has shape {shapes[name]} for a batch of {shape[0]}")
        self._give_memory(context)
        self._shape = shape
        return shapes

    def _give_memory(self, context: trt.IExecutionContext) -> None:
        """Called when the slot is at rest: memory in use is never freed."""
        needed = context.update_device_memory_size_for_shapes()
        if needed > self._scratch.size:
            old, self._scratch = self._scratch, _Scratch()
            if old.memory is not None:
                old.memory.free()
            self._scratch = _Scratch(allocate(needed), needed)
        if self._scratch.memory is not None:
            context.set_device_memory(int(self._scratch.memory), self._scratch.size)


def _refused(what: str, lines: str, kind: type[RunnerError] = PlanError) -> RunnerError:
    """lines: of the library: "OutOfMemory", "out of memory", "Requested amount of GPU memory"."""
    if "memory" in lines.lower():
        return OutOfDeviceMemory(f"{what}: {lines}. {MEMORY_FIX}")
    return kind(f"{what}: {lines}")
