"""The CPU runner: the model on the processor through OpenVINO. The default backend."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mura_batch.errors import RunnerError
from mura_batch.model_card import Model
from mura_batch.runtime.inference_stream import Meter, stream
from mura_batch.runtime.openvino.precision import choose_precision
from mura_batch.runtime.openvino.processor import BATCH, Lane, Processor
from mura_batch.runtime.runner import Outputs, RunnerInfo, RunnerOptions


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
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lanes = ()  # the requests hold the compiled model and its memory

    def run(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[Outputs]:
        if not self._lanes:
            raise RunnerError("the runner is not open")
        return stream(batches, self._lanes, BATCH, self._model.card.input.size, self._meter)
