"""The GPU runner: a TensorRT plan with pycuda buffers. Imported only after CUDA was probed (`devices.find_gpu`)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Self

import numpy as np
import tensorrt as trt
from numpy.typing import NDArray

from mura_batch.errors import PlanError, RunnerError
from mura_batch.model_card import Model
from mura_batch.runtime.inference_stream import Meter, stream
from mura_batch.runtime.nvidia.cuda import GpuThread, OutOfDeviceMemory, PrimaryContext, forget_frames, wait_for
from mura_batch.runtime.nvidia.devices import Gpu
from mura_batch.runtime.runner import Outputs, RunnerInfo, RunnerOptions
from mura_batch.runtime.tensorrt.log import LOG
from mura_batch.runtime.tensorrt.plans import Plan, Target, read_plan
from mura_batch.runtime.tensorrt.slot import INPUT, OUTPUTS, Slot, released

SLOTS = 2  # one computes while the other's copies run; a third was never seen to help


def target_of(gpu: Gpu) -> Target:
    """What a plan must have been built for to run here."""
    return Target(trt.__version__, gpu.name, gpu.compute_capability, gpu.sm_count)


class TensorRTRunner:
    """Runner protocol. One GPU thread makes, uses and frees everything; the caller's thread takes the batches."""

    def __init__(self, model: Model, options: RunnerOptions, gpu: Gpu, plan: Plan, reason: str) -> None:
        self._model = model
        self._options = options
        self._gpu = gpu
        self._plan = plan
        self._reason = reason
        self._thread: GpuThread | None = None
        self._session: Session | None = None
        self._info: RunnerInfo | None = None
        self._meter = Meter()

    @property
    def info(self) -> RunnerInfo:
        if self._info is None:
            raise RunnerError("the runner has not been entered: what it runs on is not known yet")
        return self._info

    @property
    def batch_size(self) -> int:
        return self._session.batch_size if self._session else self._options.batch_size

    @property
    def busy_seconds(self) -> float:
        return self._meter.busy

    def __enter__(self) -> Self:
        data = read_plan(self._plan)
        self._thread = GpuThread()
        self._session = session = Session(self._gpu.index, self._model.card.input.size, features=self._options.features)
        host_code = self._plan.sidecar.options.version_compatible
        try:
            self._thread.call(partial(session.open, data, self._options.batch_size, host_code))
        except BaseException:
            self._release()
            raise
        parity = self._plan.sidecar.parity
        self._info = RunnerInfo(
            name="tensorrt",
            device=self._gpu.name,
            precision="fp16",
            reason="; ".join([self._reason, f"plan {self._plan.path.name}", *session.notes]),
            version=trt.__version__,
            parity_max_abs_error=parity.max_abs if parity else None,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        trouble = self._release()
        if trouble is not None and kind is None:  # an error under way says more than its echo
            raise trouble

    def run(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[Outputs]:
        thread, session = self._thread, self._session
        if thread is None or session is None:
            raise RunnerError("the runner is not open")
        lanes = [_Lane(thread, slot) for slot in session.slots]
        return stream(batches, lanes, session.batch_size, self._model.card.input.size, self._meter)

    def _release(self) -> RunnerError | None:
        """Frees everything on the GPU thread and ends it; gives the first thing that could not be freed."""
        thread, session = self._thread, self._session
        self._thread = self._session = None
        if thread is None or session is None:
            return None
        try:
            thread.call(session.close)
        except RunnerError as error:
            return error
        finally:
            thread.close()
        return None


class _Lane:
    """A slot as the caller's thread sees it."""

    def __init__(self, thread: GpuThread, slot: Slot) -> None:
        self._thread = thread
        self._slot = slot
        self._started: Future[None] | None = None
        self.ended = 0.0

    def start(self, images: NDArray[np.uint8]) -> None:
        self._started = self._thread.submit(partial(self._slot.launch, images))

    def finish(self) -> Outputs:
        started, self._started = self._started, None
        if started is None:
            raise RunnerError("nothing was started on this lane")
        wait_for(started)
        outputs = self._thread.call(self._slot.collect)
        self.ended = time.perf_counter()
        return outputs

    def abandon(self) -> None:
        with suppress(RunnerError):  # what went wrong was told already, or the consumer no longer wants to know
            self._thread.call(self._slot.wait)


class Session:
    """Everything that lives on the GPU. Every method is called on the GPU thread only.

    Freed in this order: execution contexts, buffers, engine, runtime, CUDA context. notes: what a reader of the
    manifest should know of how it was set up.
    """

    def __init__(self, index: int, image_size: int, *, features: bool = False) -> None:
        self._index = index
        self._features = features
        self._image_size = image_size
        self._context: PrimaryContext | None = None
        self._runtime: trt.Runtime | None = None
        self._engine: trt.ICudaEngine | None = None
        self.slots: list[Slot] = []
        self.batch_size = 0
        self.notes: list[str] = []

    def open(self, data: bytes, batch_size: int, host_code: bool) -> None:
        """host_code: the plan was built version-compatible and holds code that runs on the host."""
        try:
            self._context = PrimaryContext(self._index)
            self._runtime = trt.Runtime(LOG)
            self._runtime.engine_host_code_allowed = host_code
            self._engine = deserialize(self._runtime, data)
            self.batch_size = min(batch_size, check_engine(self._engine, self._image_size))
            self._make_slots()
        except BaseException as error:
            forget_frames(error)
            with suppress(RunnerError):  # the reason why it could not be opened says more
                self.close()
            raise

    def _make_slots(self) -> None:
        """If the GPU's memory is full, once more with half the batch, and the manifest says so."""
        try:
            self._fill_slots()
        except OutOfDeviceMemory as error:
            forget_frames(error)
            self._free_slots()
            if self.batch_size == 1:
                raise
            whole, self.batch_size = self.batch_size, self.batch_size // 2
            self.notes.append(f"batch halved from {whole} to {self.batch_size}: the GPU's memory was full")
            self._fill_slots()

    def _fill_slots(self) -> None:
        if self._engine is None:
            raise RunnerError("the session is not open")
        for _ in range(SLOTS):
            slot = Slot(features=self._features)
            self.slots.append(slot)  # before it is opened: what it made by then is freed with it
            slot.open(self._engine, (self.batch_size, 1, self._image_size, self._image_size))

    def _free_slots(self) -> list[RunnerError]:
        troubles = [trouble for slot in self.slots for trouble in slot.close()]
        self.slots.clear()
        return troubles

    def close(self) -> None:
        """Frees what there is. A step that fails does not keep the next from being taken; the first is raised."""
        troubles = self._free_slots()
        self._engine = None
        self._runtime = None
        context, self._context = self._context, None
        if context is not None:
            troubles += released("the CUDA context cannot be released", context.close)
        if troubles:
            raise troubles[0]


def deserialize(runtime: trt.Runtime, data: bytes) -> trt.ICudaEngine:
    """Raises PlanError for a plan of another TensorRT or GPU, and where the engine does not fit into the GPU."""
    engine = runtime.deserialize_cuda_engine(data)
    if engine is None:
        raise PlanError(f"TensorRT refuses the plan: {LOG.take()}. Build it again with mura-batch compile")
    return engine


def check_engine(engine: trt.ICudaEngine, image_size: int) -> int:
    """Holds a plan to the model's contract; gives the largest batch that it takes. Raises PlanError."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
    outputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.OUTPUT]
    if inputs != [INPUT] or sorted(outputs) != sorted(OUTPUTS):
        raise PlanError(f"the plan takes {inputs} and gives {outputs}; expected {[INPUT]} and {list(OUTPUTS)}")
    wanted = {INPUT: trt.DataType.UINT8} | dict.fromkeys(OUTPUTS, trt.DataType.FLOAT)
    for name, dtype in wanted.items():
        if engine.get_tensor_dtype(name) != dtype:
            raise PlanError(f"the plan's {name} is {engine.get_tensor_dtype(name)}, expected {dtype}")
    largest = tuple(engine.get_tensor_profile_shape(INPUT, 0)[2])  # [min, opt, max]; defined for inputs only
    if largest[1:] != (1, image_size, image_size):
        raise PlanError(f"the plan takes images of shape {largest[1:]}, the model {(1, image_size, image_size)}")
    return int(largest[0])
