"""OpenVINO's CPU device, and the model compiled on it in each precision that is asked for."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mura_batch.errors import ModelError, RunnerError
from mura_batch.model_card import Model
from mura_batch.runtime.inference_stream import stream
from mura_batch.runtime.meter import Meter
from mura_batch.runtime.onnx_file import read_graph
from mura_batch.runtime.openvino.int8 import load_ranges, quantize
from mura_batch.runtime.openvino.start_basis import BATCH
from mura_batch.runtime.parity import concatenate
from mura_batch.runtime.runner import Outputs, RunnerOptions
from mura_batch.runtime.start_cache import NetworkCache

REQUESTS_PER_STREAM = 2  # one runs and one waits: the stream never asks Python for work. 60 MB each at 320 px
VNNI = frozenset({"avx512_vnni", "avx_vnni"})  # as Linux names them
OUTPUT_NAMES = ("probability", "cam", "features")
EMULATED_INT8 = "emulated int8"  # int8's rounding in float32 arithmetic: on any processor, and slow
ROUNDED = ("int8", EMULATED_INT8)  # what int8.npz is for


class OpenVino:
    """OpenVINO's CPU device. Raises RunnerError where OpenVINO is not usable."""

    def __init__(self) -> None:
        try:
            openvino = _openvino()
            self.core: Any = openvino.Core()
            self.processor = str(self.core.get_property("CPU", "FULL_DEVICE_NAME")).strip()
            self.capabilities = tuple(sorted(self.core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")))
        except (ImportError, RuntimeError) as error:
            raise RunnerError(f"OpenVINO cannot be started ({error}); install mura-batch again") from error
        self.version = str(openvino.__version__)

    @property
    def has_bf16(self) -> bool:
        return "BF16" in self.capabilities

    @property
    def has_int8(self) -> bool:
        """VNNI sums products of 8-bit integers in 32 bits. Older instructions sum in 16 bits, which overflows."""
        try:
            return not VNNI.isdisjoint(Path("/proc/cpuinfo").read_text().split())
        except OSError:
            return False


# `import openvino` also imports a model converter, which reports each import to Google Analytics and stores an
# identifier in the home folder. Neither is wanted.
_BLOCKED = ("openvino.tools.ovc", "openvino_telemetry")


def _openvino() -> Any:
    """The package without them: it works where they cannot be imported."""
    modules: dict[str, Any] = sys.modules
    for name in _BLOCKED:
        modules.setdefault(name, None)  # importing it is then a ModuleNotFoundError
    import openvino

    return openvino


class Processor:
    """The model on OpenVINO's CPU device. A precision is compiled once, when it is first asked for."""

    def __init__(self, model: Model, options: RunnerOptions) -> None:
        self._model = model
        self._options = options
        self._requests: dict[str, tuple[Any, ...]] = {}
        self.openvino = OpenVino()

    def lanes(self, precision: str, *, features: bool = True) -> tuple[Lane, ...]:
        """features: the lanes fetch the pooled features too."""
        return tuple(Lane(request, features=features) for request in self.requests(precision))

    def requests(self, precision: str) -> tuple[Any, ...]:
        if precision not in self._requests:
            self._requests[precision] = self._compile(precision)
        return self._requests[precision]

    def lacks(self, precision: str) -> str:
        """Why a precision is not available here; '' where it is."""
        if precision == "bf16" and not self.openvino.has_bf16:
            return "the processor has no bf16 instructions"
        if precision == "int8" and not self._model.int8_hash:
            return "the model folder has no int8.npz (python -m train quantize)"
        if precision == "int8" and not self.openvino.has_int8:
            return "the processor has no VNNI instructions"
        return ""

    def basis(self, precision: str) -> tuple[Any, ...]:
        """What the outputs of a precision depend on, beside the images."""
        openvino = self.openvino
        return (
            self._model.hash, precision, self._model.int8_hash if precision in ROUNDED else "",
            openvino.version, openvino.processor, openvino.capabilities,
        )  # fmt: skip

    def compile_all(self, precisions: tuple[str, ...]) -> None:
        """In parallel: compiling one network uses one core."""
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(len(precisions)) as pool:
            list(pool.map(self.requests, precisions))

    def answers(self, precision: str, images: NDArray[np.uint8]) -> Outputs:
        """For all images [N, 1, S, S], features included, as one Outputs."""
        lanes, size = self.lanes(precision), self._model.card.input.size
        return concatenate(list(stream([images], lanes, BATCH, size, Meter())))

    def _compile(self, precision: str) -> tuple[Any, ...]:
        """OpenVINO's requests, as many as keep every stream busy."""
        try:
            compiled = self._cached(precision) or self._fresh(precision)
            streams = int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
            shapes = {name: tuple(compiled.output(name).get_shape()) for name in OUTPUT_NAMES}
        except RuntimeError as error:
            raise ModelError(f"OpenVINO cannot run {self._model.onnx}: {_first_line(error)}") from error
        check_outputs(self._model.onnx, shapes, BATCH)
        return tuple(compiled.create_infer_request() for _ in range(REQUESTS_PER_STREAM * streams))

    def _cached(self, precision: str) -> Any | None:
        """The network that an earlier start compiled: loading it takes half the time of compiling it."""
        from io import BytesIO

        blob = self._cache(precision).read()
        if blob is None:
            return None
        try:
            return self.openvino.core.import_model(BytesIO(blob), "CPU", self._settings(precision))
        except RuntimeError:  # intact, but of another OpenVINO after all: compiled again
            return None

    def _fresh(self, precision: str) -> Any:
        from io import BytesIO

        size, cache = self._model.card.input.size, self._cache(precision)
        network = self.openvino.core.read_model(BytesIO(read_graph(self._model.onnx)))
        network.reshape({"images": [BATCH, 1, size, size]})
        if precision in ROUNDED:
            quantize(network, load_ranges(self._model), self._model.int8)
        compiled = self.openvino.core.compile_model(network, "CPU", self._settings(precision))
        if cache.is_enabled:
            cache.write(compiled.export_model().getvalue())
        return compiled

    def _cache(self, precision: str) -> NetworkCache:
        basis = (*self.basis(precision), BATCH, len(os.sched_getaffinity(0)), self._settings(precision))
        return NetworkCache(self._options.cache_dir, basis)

    def _settings(self, precision: str) -> dict[str, Any]:
        """int8: what is not a convolution of integers is bf16 where the processor has it."""
        low = precision == "bf16" or (precision == "int8" and self.openvino.has_bf16)
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "bf16" if low else "f32",  # by itself OpenVINO takes the lowest the CPU has
            "PERFORMANCE_HINT": "THROUGHPUT",
            "ENABLE_CPU_PINNING": False,  # decoding runs beside this: a pinned thread waits for its own core
        }
        if precision == EMULATED_INT8:
            settings["LP_TRANSFORMS_MODE"] = False  # OpenVINO then leaves the rounding as it stands in the network
        if self._options.threads is not None:
            settings["INFERENCE_NUM_THREADS"] = self._options.threads
        return settings


class Lane:
    """One OpenVINO request. OpenVINO reads the image in place, so it is held until the work is done."""

    def __init__(self, request: Any, *, features: bool) -> None:
        self._request = request
        self._features = features
        self._image: NDArray[np.uint8] | None = None
        self._started = 0.0

    @property
    def ended(self) -> float:
        """From OpenVINO's own clock: a callback would take Python's lock from the thread that starts the next image."""
        return self._started + float(self._request.latency) / 1e3

    def start(self, images: NDArray[np.uint8]) -> None:
        self._image = np.ascontiguousarray(images)
        self._started = time.perf_counter()
        try:
            self._request.start_async({"images": self._image}, share_inputs=True)
        except RuntimeError as error:
            raise RunnerError(f"OpenVINO refused an image: {_first_line(error)}") from error

    def finish(self) -> Outputs:
        try:
            self._request.wait()
            outputs = Outputs(
                self._copy("probability"), self._copy("cam"), self._copy("features") if self._features else None
            )
        except RuntimeError as error:
            raise RunnerError(f"OpenVINO failed on an image: {_first_line(error)}") from error
        self._image = None
        return outputs

    def _copy(self, name: str) -> NDArray[np.float32]:
        values: NDArray[np.float32] = self._request.get_tensor(name).data.copy()
        return values

    def abandon(self) -> None:
        from contextlib import suppress

        with suppress(RuntimeError):  # already reported, or the consumer has stopped
            self._request.wait()


def check_outputs(onnx: Path, shapes: dict[str, tuple[int, ...]], batch: int) -> None:
    """Holds the graph to the model's contract: probability [N], cam [N, h, w], features [N, C]."""
    for name, dimensions in {"probability": 1, "cam": 3, "features": 2}.items():
        if len(shapes[name]) != dimensions or shapes[name][0] != batch:
            raise ModelError(f"{onnx}: output {name} has shape {shapes[name]}; export the model again")


def _first_line(error: Exception) -> str:
    """OpenVINO's messages run over many lines; the last that is not empty says what went wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
