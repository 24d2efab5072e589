"""The CPU runner: the model on the processor through OpenVINO. The default backend."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from mura_batch.errors import RunnerError
from mura_batch.model_card import Model, verify_model
from mura_batch.runtime.meter import Meter
from mura_batch.runtime.openvino.start_basis import BATCH, start_basis
from mura_batch.runtime.runner import Outputs, RunnerInfo, RunnerOptions
from mura_batch.runtime.start_cache import StartRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mura_batch.runtime.openvino.processor import Lane


class OpenVinoRunner:
    """Runner protocol. Images are run one by one, as many at once as OpenVINO has streams: a score never depends on
    the other images of a batch, and no image waits for a batch to fill."""

    def __init__(self, model: Model, options: RunnerOptions, reason: str) -> None:
        self._model = model
        self._options = options
        self._reason = reason
        self._lanes: tuple[Lane, ...] = ()
        self._info: RunnerInfo | None = None
        self._meter = Meter()
        self._is_entered = False
        self._record = StartRecord(options.cache_dir, start_basis(model, options, reason))

    @property
    def info(self) -> RunnerInfo:
        if self._info is None:
            raise RunnerError("the runner has not been entered: what it runs on is not known yet")
        return self._info

    @property
    def batch_size(self) -> int:
        return BATCH

    @property
    def busy_seconds(self) -> float:
        return self._meter.busy

    def __enter__(self) -> Self:
        self._is_entered = True
        self._info = self._record.info() if self._options.late else None
        if self._info is None:
            self._open()
        return self

    def _open(self) -> None:
        """Loads the network. Raises RunnerError where it is not what the record says: the run has gone by that."""
        from mura_batch.runtime.openvino.precision import choose_precision
        from mura_batch.runtime.openvino.processor import Processor

        if self._options.late:
            verify_model(self._model)
        expected = self._info
        processor = Processor(self._model, self._options)
        precision, reason, parity = choose_precision(processor, self._model, self._options)
        self._lanes = processor.lanes(precision, features=self._options.features)
        self._info = RunnerInfo(
            name="openvino",
            device=processor.openvino.processor,
            precision=precision,
            reason=f"{self._reason}; {reason}",
            version=processor.openvino.version,
            parity_max_abs_error=parity.max_abs if parity else None,
        )
        if self._options.late:
            self._record.put(self._info)
        if expected is not None and expected.precision != precision:
            raise RunnerError(f"this processor ran {expected.precision} before and runs {precision} now: run again")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lanes = ()  # the requests hold the compiled model and its memory
        self._is_entered = False

    def run(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[Outputs]:
        from mura_batch.runtime.inference_stream import stream

        if not self._is_entered:
            raise RunnerError("the runner is not open")
        if not self._lanes:
            self._open()
        return stream(batches, self._lanes, BATCH, self._model.card.input.size, self._meter)
