"""The GPU runner: a plan of TensorRT or TensorRT-RTX with pycuda buffers. Imported only after CUDA was probed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mura_batch.errors import RunnerError
from mura_batch.model_card import Model, verify_model
from mura_batch.runtime.inference_stream import stream
from mura_batch.runtime.meter import Meter
from mura_batch.runtime.nvidia.acceptance import Acceptance, accept
from mura_batch.runtime.nvidia.devices import Gpu
from mura_batch.runtime.nvidia.library import Variant
from mura_batch.runtime.nvidia.plans import Plan, read_plan
from mura_batch.runtime.nvidia.session import Session
from mura_batch.runtime.nvidia.slot import Slot
from mura_batch.runtime.nvidia.thread import GpuThread, wait_for, wait_reporting
from mura_batch.runtime.parity import concatenate
from mura_batch.runtime.runner import Outputs, RunnerInfo, RunnerOptions


class PlanRunner:
    """Runner protocol. One GPU thread creates, uses and frees everything; the caller's thread takes the batches.

    A plan that was not accepted when it was built is held to the gate when it is entered, before it scores anything.
    """

    def __init__(
        self, variant: Variant, model: Model, options: RunnerOptions, gpu: Gpu, plan: Plan, reason: str
    ) -> None:
        self._variant = variant
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
        if self._options.late:  # the model was only read
            verify_model(self._model)
        data = read_plan(self._plan)
        self._thread = GpuThread()
        self._session = session = Session(self._variant, self._gpu, self._plan, self._options)
        try:
            opening = self._thread.submit(partial(session.open, data, self._model.card.input.size))
            wait_reporting(opening, f"{self._variant.title} prepares the plan for this GPU", self._options.report)
            acceptance = self._accept()
        except BaseException:
            self._release()
            raise
        self._info = RunnerInfo(
            name=self._variant.name,
            device=self._gpu.name,
            precision="fp16",
            reason="; ".join([self._reason, f"plan {self._plan.path.name}", *acceptance.notes, *session.notes]),
            version=self._variant.library.__version__,
            parity_max_abs_error=acceptance.parity.max_abs if acceptance.parity else None,
        )
        return self

    def _accept(self) -> Acceptance:
        if self._plan.is_staged:
            return Acceptance(None)
        return accept(self._model, self._plan, self._gpu, self._variant, self._options, self._answers)

    def _answers(self, images: NDArray[np.uint8]) -> Outputs:
        return concatenate(list(self.run([images])))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        failure = self._release()
        if failure is not None and kind is None:  # an error under way says more than what follows from it
            raise failure

    def run(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[Outputs]:
        thread, session = self._thread, self._session
        if thread is None or session is None:
            raise RunnerError("the runner is not open")
        lanes = [_Lane(thread, slot) for slot in session.slots]
        return stream(batches, lanes, session.batch_size, self._model.card.input.size, self._meter)

    def _release(self) -> RunnerError | None:
        """Frees everything on the GPU thread and ends it; returns the first failure."""
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
        with suppress(RunnerError):  # already reported, or the consumer has stopped
            self._thread.call(self._slot.wait)
