"""`mura-batch bench MODEL`: speed and parity of every runner that works here, each compared with float32."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from mura_batch.errors import MuraBatchError
from mura_batch.model_card import Model
from mura_batch.runtime import registry
from mura_batch.runtime.choose import open_runner
from mura_batch.runtime.gates import FP16_GATE
from mura_batch.runtime.parity import answers, compare_outputs, load_reference_inputs
from mura_batch.runtime.runner import Outputs, Runner, RunnerOptions

SECONDS = 3.0  # of each measurement
REFERENCE = "float32"  # the precision that the others are compared with


@dataclass(frozen=True, slots=True)
class BenchRecord:
    """One runner at one batch size. unavailable: why it cannot run here; the figures are None then.

    latency_ms: of one batch alone, from submission to its scores. ratio: images per second over those of float32 on the
    CPU at the same batch size. first_start: with an empty cache folder; later_start: with what the first one left.
    parity: |dp| against it on the model's reference inputs.
    """

    runner: str  # the backend, and the precision asked of it: 'openvino float32', 'tensorrt'
    batch_size: int
    device: str = ""
    precision: str = ""
    images_per_second: float | None = None
    latency_ms_median: float | None = None
    latency_ms_p95: float | None = None
    first_start_seconds: float | None = None
    later_start_seconds: float | None = None
    ratio: float | None = None
    parity_max_abs: float | None = None
    parity_mean_abs: float | None = None
    unavailable: str = ""


def bench(
    model: Model, batch_sizes: Sequence[int] = (1, 8), gpu: str = "0", seconds: float = SECONDS
) -> Iterator[BenchRecord]:
    """Records as they are measured, batch size by batch size, in each precision of each backend. Each starts with an
    empty cache folder of its own."""
    images = load_reference_inputs(model)
    for batch_size in batch_sizes:
        expected: Outputs | None = None
        base: float | None = None
        for variant in variants():
            options = replace(variant, batch_size=batch_size, gpu=gpu)
            try:
                with TemporaryDirectory(prefix="mura-batch-bench-") as cache:
                    record, outputs = _measure(model, replace(options, cache_dir=Path(cache)), images, seconds)
            except MuraBatchError as error:
                yield BenchRecord(_name(options), batch_size, unavailable=str(error).split("\n")[0])
                continue
            if expected is None and options.precision == REFERENCE:
                expected, base = outputs, record.images_per_second
            yield _compared(record, outputs, expected, base, model.card.threshold)


def variants() -> tuple[RunnerOptions, ...]:
    """Each precision of each backend, the reference first."""
    every = [
        RunnerOptions(device=entry.device, backend=entry.name, precision=precision, features=True)
        for entry in registry.BACKENDS
        for precision in entry.precisions or ("auto",)
    ]
    return tuple(sorted(every, key=lambda options: options.precision != REFERENCE))


def _measure(
    model: Model, options: RunnerOptions, images: NDArray[np.uint8], seconds: float
) -> tuple[BenchRecord, Outputs]:
    first = _start_seconds(model, options)
    started = time.perf_counter()
    with open_runner(model, options) as runner:
        later = time.perf_counter() - started
        outputs = answers(runner, images, options.batch_size)  # warms up as well
        batch = _batch(images, options.batch_size)
        times = sorted(_latencies(runner, batch, seconds / 2))
        record = BenchRecord(
            runner=_name(options),
            batch_size=options.batch_size,
            device=runner.info.device,
            precision=runner.info.precision,
            images_per_second=_throughput(runner, batch, seconds / 2),
            latency_ms_median=1000 * statistics.median(times),
            latency_ms_p95=1000 * times[min(len(times) - 1, int(0.95 * len(times)))],
            first_start_seconds=first,
            later_start_seconds=later,
        )
    return record, outputs


def _start_seconds(model: Model, options: RunnerOptions) -> float:
    started = time.perf_counter()
    with open_runner(model, options):
        return time.perf_counter() - started


def _compared(
    record: BenchRecord, outputs: Outputs, expected: Outputs | None, base: float | None, threshold: float
) -> BenchRecord:
    if expected is None or base is None or record.images_per_second is None:
        return record
    parity = compare_outputs(expected.probability, outputs, threshold, FP16_GATE)
    return replace(
        record, ratio=record.images_per_second / base, parity_max_abs=parity.max_abs, parity_mean_abs=parity.mean_abs
    )


def _name(options: RunnerOptions) -> str:
    return options.backend if options.precision == "auto" else f"{options.backend} {options.precision}"


def _batch(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """[size, 1, S, S]: the reference inputs, repeated."""
    return np.ascontiguousarray(np.resize(images, (size, *images.shape[1:])))


def _latencies(runner: Runner, batch: NDArray[np.uint8], seconds: float) -> Iterator[float]:
    """One batch at a time, at least three."""
    end, count = time.perf_counter() + seconds, 0
    while count < 3 or time.perf_counter() < end:
        begun = time.perf_counter()
        list(runner.run([batch]))
        yield time.perf_counter() - begun
        count += 1


def _throughput(runner: Runner, batch: NDArray[np.uint8], seconds: float) -> float:
    """Images per second with batches in flight, at least three of them."""
    begun, count = time.perf_counter(), 0

    def supply() -> Iterator[NDArray[np.uint8]]:
        supplied = 0
        while supplied < 3 or time.perf_counter() < begun + seconds:
            supplied += 1
            yield batch

    for outputs in runner.run(supply()):
        count += len(outputs.probability)
    return count / (time.perf_counter() - begun)
