"""Inference alone, batches of model inputs in memory -> probabilities, all cores."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.result import Figure, ratio
from mura_batch.errors import RunnerError
from mura_batch.model_card import Model
from mura_batch.runtime.choose import open_runner
from mura_batch.runtime.runner import Runner, RunnerOptions

BATCH = 8
SECONDS = 3.0  # of one measurement
SECTION = f"Inference alone, batches of {BATCH}"


def inference(model: Model, rounds: int = 3) -> list[Figure]:
    """The runner in every precision beside eager torch and ONNX Runtime, in turn, medians over the rounds."""
    import os

    rng = np.random.default_rng(0)
    size = model.card.input.size
    images = rng.integers(0, 256, (BATCH, 1, size, size), dtype=np.uint8)
    with ExitStack() as stack:
        candidates: dict[str, Callable[[float], int]] = {
            "torch": _torch(images, len(os.sched_getaffinity(0))),
            "onnxruntime": _onnx_runtime(model.onnx, images, len(os.sched_getaffinity(0))),
        }
        for precision in ("float32", "bf16", "int8"):
            options = RunnerOptions(device="cpu", precision=precision, batch_size=BATCH)
            with suppress(RunnerError):  # this processor or this model does not have it
                candidates[precision] = _runner(stack.enter_context(open_runner(model, options)), images)
        rates = _rates(candidates, rounds)
    pairs = (
        ("int8", "torch", ""), ("int8", "onnxruntime", ""),
        ("bf16", "torch", ">= 3.5"), ("bf16", "onnxruntime", ">= 1.8"),
        ("float32", "onnxruntime", ">= 1"),
    )  # fmt: skip
    return [
        ratio(SECTION, f"{ours} against {peer} float32", (rates[ours], rates[peer]), "img/s", target)
        for ours, peer, target in pairs
        if ours in rates
    ]


def _rates(candidates: dict[str, Callable[[float], int]], rounds: int) -> dict[str, float]:
    rates: dict[str, list[float]] = {name: [] for name in candidates}
    for run in candidates.values():
        run(0.0)  # warms up
    for _ in range(rounds):
        for name, run in candidates.items():
            begun = time.perf_counter()
            count = run(SECONDS)
            rates[name].append(count / (time.perf_counter() - begun))
    return {name: statistics.median(values) for name, values in rates.items()}


def _torch(images: NDArray[np.uint8], threads: int) -> Callable[[float], int]:
    import torch

    from bench.peer import network, score

    torch.set_num_threads(threads)
    net, pictures = network(), [image[0] for image in images]

    def run(seconds: float) -> int:
        return sum(len(score(net, pictures)) for _ in _until(seconds))

    return run


def _onnx_runtime(path: Path, images: NDArray[np.uint8], threads: int) -> Callable[[float], int]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(float32_graph(path), options, providers=["CPUExecutionProvider"])

    def run(seconds: float) -> int:
        return sum(len(session.run(None, {"images": images})[0]) for _ in _until(seconds))

    return run


def _runner(runner: Runner, images: NDArray[np.uint8]) -> Callable[[float], int]:
    def run(seconds: float) -> int:
        return sum(len(outputs.probability) for outputs in runner.run(images for _ in _until(seconds)))

    return run


def _until(seconds: float) -> Iterator[None]:
    """At least once, and then as long as time is left."""
    end = time.perf_counter() + seconds
    yield
    while time.perf_counter() < end:
        yield


def float32_graph(path: Path) -> bytes:
    """The model's graph with its half-precision body in float32: ONNX Runtime's processor kernels have no float16."""
    import onnx
    from onnx import TensorProto, numpy_helper

    model = onnx.load(path)
    graph: Any = model.graph
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
            if attribute.type == onnx.AttributeProto.TENSOR and attribute.t.data_type == TensorProto.FLOAT16:
                full = numpy_helper.to_array(attribute.t).astype(np.float32)
                attribute.t.CopyFrom(numpy_helper.from_array(full, attribute.t.name))
    del graph.value_info[:]  # inferred again
    return bytes(model.SerializeToString())
