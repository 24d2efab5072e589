"""tensorrt (10.13 or 11.4) or tensorrt_rtx (1.7), as far as mura-batch uses them; `MACHINE.tensorrt` says which.

Signatures: the bindings' own stubs (test_stubs.py compares them). Numbers come from ONNX Runtime running the
plan's graph.
"""

from __future__ import annotations

import enum
import inspect
import json
import threading
import weakref
from collections.abc import Callable
from functools import wraps
from typing import Any, SupportsInt

import numpy as np
import onnx
import onnxruntime
from simulated_machine import MACHINE, Thing

__version__ = MACHINE.tensorrt
IS_10 = __version__.startswith("10.")
IS_RTX = MACHINE.is_rtx
MAGIC = b"SIMULATED PLAN\n"
onnxruntime.set_default_logger_severity(4)

_CHECKED = {"int": int, "SupportsInt": SupportsInt, "str": str, "bytes": (bytes, bytearray, memoryview), "bool": bool,
            "tuple": tuple}  # fmt: skip


def typed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Refuses what pybind11 refuses: an argument of another type is a TypeError."""
    signature = inspect.signature(function)

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            kind = _CHECKED.get(str(signature.parameters[name].annotation))
            if kind is not None and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
                raise TypeError(f"{function.__name__}(): incompatible function arguments: {name}={type(value)}")
        return function(*args, **kwargs)

    return call


class Severity(enum.IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3
    VERBOSE = 4


class ILogger:
    Severity = Severity

    def __init__(self) -> None:
        self.is_made = True


class IProgressMonitor:
    def __init__(self) -> None:
        self.is_made = True


class NetworkDefinitionCreationFlag(enum.IntEnum):
    # 10.13: EXPLICIT_BATCH 0, STRONGLY_TYPED 1; 11.4: STRONGLY_TYPED 0 (read out of both bindings)
    STRONGLY_TYPED = 1 if IS_10 else 0


class MemoryPoolType(enum.Enum):
    WORKSPACE = 0


class BuilderFlag(enum.Enum):
    TF32 = 0
    VERSION_COMPATIBLE = 1


class DataType(enum.Enum):
    FLOAT = 0
    HALF = 1
    UINT8 = 5


class ComputeCapability(enum.Enum):
    NONE = 0
    CURRENT = 1
    SM75 = 75
    SM80 = 80
    SM86 = 86
    SM89 = 89
    SM120 = 120
    SM121 = 121


class CudaGraphStrategy(enum.Enum):
    DISABLED = 0
    WHOLE_GRAPH_CAPTURE = 1


class DynamicShapesKernelSpecializationStrategy(enum.Enum):
    LAZY = 0
    EAGER = 1
    NONE = 2


class EngineValidity(enum.Enum):
    VALID = 0
    SUBOPTIMAL = 1
    INVALID = 2


class EngineInvalidityDiagnostics(enum.IntEnum):
    VERSION_MISMATCH = 1
    UNSUPPORTED_CC = 2
    MALFORMED_ENGINE = 32


class TensorIOMode(enum.Enum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class ExecutionContextAllocationStrategy(enum.Enum):
    STATIC = 0
    ON_PROFILE_CHANGE = 1
    USER_MANAGED = 2


def log(text: str) -> None:
    logger = MACHINE.logger
    thread = threading.Thread(target=logger.log, args=(Severity.ERROR, text))  # TensorRT logs from any thread
    thread.start()
    thread.join()


def _made_with(thing: Any, what: str) -> None:
    if not getattr(thing, "is_made", False):
        raise TypeError(f"{what}.__init__() must be called when overriding __init__")


class _Native(Thing):
    """Whatever TensorRT makes. Without CUDA it hands back a half-made object, and the process dies when it is used."""

    def __init__(self) -> None:
        if self.needs_context:
            if not MACHINE.initialised:
                MACHINE.crime(f"{self.kind} made before CUDA was probed: SIGSEGV")
            MACHINE.need_context(self.kind)
        super().__init__()


class _Building(_Native):
    """What a build is made of: TensorRT-RTX needs no GPU for it."""

    needs_context = not IS_RTX


def _start(logger: ILogger) -> None:
    _made_with(logger, "ILogger")
    MACHINE.logger = MACHINE.logger or logger
    if MACHINE.logger is not logger:
        MACHINE.crime("a second logger, which TensorRT ignores")


class _HostMemory(bytes):
    """IHostMemory: gives its bytes to memoryview()."""

    @property
    def nbytes(self) -> int:
        return len(self)


class ParserError:
    def __init__(self, text: str) -> None:
        self._text = text

    def desc(self) -> str:
        return self._text


class ITensor:
    def __init__(self, name: str, shape: tuple[int, ...], dtype: DataType) -> None:
        self.name, self.shape, self.dtype = name, shape, dtype


class INetworkDefinition(_Building):
    kind = "network"

    def __init__(self, is_typed: bool) -> None:
        super().__init__()
        self.is_typed = is_typed
        self.graph = b""
        self.inputs: list[ITensor] = []
        self.outputs: list[ITensor] = []

    @property
    def num_inputs(self) -> int:
        return len(self.inputs)

    @property
    def num_outputs(self) -> int:
        return len(self.outputs)

    @typed
    def get_input(self, index: int) -> ITensor:
        return self.inputs[index]

    @typed
    def get_output(self, index: int) -> ITensor:
        return self.outputs[index]


class OnnxParser(_Building):
    kind = "parser"

    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        _start(logger)
        super().__init__()
        self._network = network
        self._errors: list[ParserError] = []

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    @typed
    def get_error(self, index: int) -> ParserError:
        return self._errors[index]

    @typed
    def parse(self, model: bytes, path: str | None = None) -> bool:
        try:
            graph = onnx.load_from_string(bytes(model)).graph
        except Exception as error:  # noqa: BLE001  # whatever protobuf raises
            self._errors.append(ParserError(f"could not parse: {error}"))
            return False
        if MACHINE.fails("parse"):
            self._errors.append(ParserError("In node 3 (importNode): UNSUPPORTED_NODE: no importer for Frobnicate"))
            return False
        self._network.graph = bytes(model)
        self._network.inputs = [_tensor(value) for value in graph.input]
        self._network.outputs = [_tensor(value) for value in graph.output]
        return True


def _tensor(value: Any) -> ITensor:
    kinds = {onnx.TensorProto.FLOAT: DataType.FLOAT, onnx.TensorProto.UINT8: DataType.UINT8,
             onnx.TensorProto.FLOAT16: DataType.HALF}  # fmt: skip
    dims = value.type.tensor_type.shape.dim
    return ITensor(value.name, tuple(d.dim_value or -1 for d in dims), kinds[value.type.tensor_type.elem_type])


class IOptimizationProfile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[tuple[int, ...], ...]] = {}

    @typed
    def set_shape(self, input: str, min: tuple, opt: tuple, max: tuple) -> None:  # noqa: A002
        self.shapes[input] = (min, opt, max)


class ITimingCache:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def serialize(self) -> Any:
        return _HostMemory(f"timings of {__version__}".encode())


class IBuilderConfig(_Building):
    kind = "builder configuration"

    def __init__(self) -> None:
        super().__init__()
        self.flags = {BuilderFlag.TF32}
        self.profiles: list[IOptimizationProfile] = []
        self.pools: dict[MemoryPoolType, int] = {}
        self.builder_optimization_level = 3
        self.progress_monitor: Any = None
        self.cache: ITimingCache | None = None
        self.num_compute_capabilities = 0
        self.capabilities: dict[int, ComputeCapability] = {}

    @typed
    def set_compute_capability(self, compute_capability: ComputeCapability, index: SupportsInt) -> bool:
        self.capabilities[int(index)] = compute_capability
        return int(index) < self.num_compute_capabilities and not MACHINE.fails("set_compute_capability")

    def set_memory_pool_limit(self, pool: MemoryPoolType, pool_size: int) -> None:
        self.pools[pool] = pool_size

    def clear_flag(self, flag: BuilderFlag) -> None:
        self.flags.discard(flag)

    def set_flag(self, flag: BuilderFlag) -> None:
        self.flags.add(flag)

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        (low, best, high), = profile.shapes.values()  # fmt: skip
        if MACHINE.fails("add_optimization_profile") or not low[0] <= best[0] <= high[0]:
            log("IOptimizationProfile::isValid: Error Code 4: min, opt, max must not decrease")
            return -1
        self.profiles.append(profile)
        return len(self.profiles) - 1

    @typed
    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache:
        if IS_RTX:
            MACHINE.crime("a timing cache, which TensorRT-RTX warns of")
        return ITimingCache(bytes(serialized_timing_cache))

    @typed
    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        if cache.data and cache.data != f"timings of {__version__}".encode() and not ignore_mismatch:
            log("timing cache mismatch")
            return False
        self.cache = cache
        return True


class Builder(_Building):
    kind = "builder"

    def __init__(self, logger: ILogger) -> None:
        _start(logger)
        super().__init__()

    @typed
    def create_network(self, flags: SupportsInt = 0) -> INetworkDefinition:
        return INetworkDefinition(is_typed=not IS_10 or bool(int(flags) & 2))

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig()

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> Any:
        if MACHINE.fails("build_serialized_network"):
            log("Error Code 10: Could not find any implementation for node")
            return None
        if not network.is_typed:
            log("a weakly typed network with half tensors and no FP16 flag")
            return None
        if not config.profiles:
            log("Error Code 4: Network has dynamic or shape inputs, but no optimization profile has been defined")
            return None
        MACHINE.built.append((set(config.flags), config.cache.data if config.cache else None))
        return _HostMemory(_plan(network, config)) if _progress(config) else None


def _progress(config: IBuilderConfig) -> bool:
    """Calls the monitor from a thread of TensorRT's own; false if it asks to stop. A phase within a phase, too."""
    monitor = config.progress_monitor
    if monitor is None:
        return True
    _made_with(monitor, "IProgressMonitor")
    answers: list[bool] = []

    def work() -> None:
        monitor.phase_start("Building Engine", None, 3)
        monitor.phase_start("Tactics", "Building Engine", 2)
        answers.extend(monitor.step_complete("Tactics", step) for step in range(2))
        monitor.phase_finish("Tactics")
        answers.extend(monitor.step_complete("Building Engine", step) for step in range(3))
        monitor.phase_finish("Building Engine")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return all(answers)


def _plan(network: INetworkDefinition, config: IBuilderConfig) -> bytes:
    gpu = "" if IS_RTX else MACHINE.gpus[MACHINE.stacks[threading.get_ident()][-1].device].name
    header = {
        "tensorrt": __version__,
        "gpu": gpu,
        "capabilities": [capability.value for capability in config.capabilities.values()] or [80, 86, 89, 120, 121],
        "compatible": BuilderFlag.VERSION_COMPATIBLE in config.flags,
        "profile": config.profiles[0].shapes["images"],
        "length": len(network.graph),
    }
    return MAGIC + json.dumps(header).encode() + b"\n" + network.graph


class Runtime(_Native):
    kind = "runtime"
    before = ("engine", "execution context", "runtime configuration")
    engine_header_size = 64

    def __init__(self, logger: ILogger) -> None:
        _start(logger)
        super().__init__()
        self.engine_host_code_allowed = False

    @typed
    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        self.used()
        data = bytes(serialized_engine)
        refusal = self._refusal(data)
        if refusal:
            log(refusal)
            return None
        header, graph = data.removeprefix(MAGIC).split(b"\n", 1)
        return ICudaEngine(json.loads(header), graph)

    def _refusal(self, data: bytes) -> str:
        if not data.startswith(MAGIC):
            return "Error Code 1: Serialization (Serialization assertion magicTag failed. Magic tag does not match)"
        header, graph = data.removeprefix(MAGIC).split(b"\n", 1)
        described = json.loads(header)
        device = MACHINE.stacks[threading.get_ident()][-1].device
        if len(graph) != described["length"]:
            return "Error Code 1: Serialization (the engine plan file is truncated)"
        if described["tensorrt"] != __version__ and not (described["compatible"] and self.engine_host_code_allowed):
            return f"Error Code 6: The plan was built by version {described['tensorrt']}, here is {__version__}"
        if IS_RTX and not self._serves(described):
            return "Error Code 6: does not support this compute capability"
        if not IS_RTX and described["gpu"] != MACHINE.gpus[device].name:
            return "Error Code 6: The engine plan file is generated on an incompatible device"
        return "out of memory" if MACHINE.fails("deserialize_cuda_engine") else ""

    @staticmethod
    def _serves(header: dict[str, Any]) -> bool:
        major, minor = MACHINE.gpus[MACHINE.stacks[threading.get_ident()][-1].device].capability
        return 10 * major + minor in header["capabilities"]

    @typed
    def get_engine_validity(self, buffer: bytes) -> tuple[EngineValidity, int]:
        """The real one reads the capabilities out of the first 64 bytes; here a fault stands for that."""
        self.used()
        if len(buffer) < self.engine_header_size or not bytes(buffer).startswith(MAGIC):
            return EngineValidity.INVALID, int(EngineInvalidityDiagnostics.MALFORMED_ENGINE)
        if MACHINE.fails("get_engine_validity"):
            return EngineValidity.INVALID, int(EngineInvalidityDiagnostics.UNSUPPORTED_CC)
        return EngineValidity.VALID, 0


class IRuntimeCache:
    """Compiled kernels: which shapes were run."""

    def __init__(self) -> None:
        self.shapes: set[str] = set()

    def serialize(self) -> Any:
        return _HostMemory(json.dumps([__version__, sorted(self.shapes)]).encode())

    @typed
    def deserialize(self, blob: bytes) -> bool:
        MACHINE.need_context("IRuntimeCache.deserialize")
        try:
            version, shapes = json.loads(bytes(blob))
        except ValueError:
            return False
        if version != __version__ or MACHINE.fails("deserialize"):
            return False
        self.shapes = set(shapes)
        return True


class IRuntimeConfig(_Native):
    kind = "runtime configuration"

    def __init__(self) -> None:
        super().__init__()
        self.strategy = ExecutionContextAllocationStrategy.STATIC
        self.cache: IRuntimeCache | None = None
        self.cuda_graph_strategy = CudaGraphStrategy.DISABLED
        self.dynamic_shapes_kernel_specialization_strategy = DynamicShapesKernelSpecializationStrategy.LAZY

    def set_execution_context_allocation_strategy(self, strategy: ExecutionContextAllocationStrategy) -> None:
        self.strategy = strategy

    def create_runtime_cache(self) -> IRuntimeCache:
        return IRuntimeCache()

    def set_runtime_cache(self, cache: IRuntimeCache | None = None) -> bool:
        self.cache = cache
        return not MACHINE.fails("set_runtime_cache")


class ICudaEngine(_Native):
    kind = "engine"
    before = ("execution context", "runtime configuration")

    def __init__(self, header: dict[str, Any], graph: bytes) -> None:
        super().__init__()
        self._profile = [tuple(shape) for shape in header["profile"]]
        self._session = onnxruntime.InferenceSession(graph, _options(), providers=["CPUExecutionProvider"])
        self._inputs = [value.name for value in self._session.get_inputs()]
        self._names = self._inputs + [value.name for value in self._session.get_outputs()]

    @property
    def num_io_tensors(self) -> int:
        return len(self._names)

    @typed
    def get_tensor_name(self, index: int) -> str:
        return self._names[index]

    @typed
    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self._inputs else TensorIOMode.OUTPUT

    @typed
    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType.UINT8 if name in self._inputs else DataType.FLOAT

    @typed
    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
        if name not in self._inputs:
            MACHINE.crime("the profile shape of an output is not defined")
        return list(self._profile)

    def create_runtime_config(self) -> IRuntimeConfig:
        return IRuntimeConfig()

    def create_execution_context(
        self,
        strategy: ExecutionContextAllocationStrategy = ExecutionContextAllocationStrategy.STATIC,
        *,
        runtime_config: IRuntimeConfig | None = None,
    ) -> IExecutionContext | None:
        self.used()
        if runtime_config is not None:
            strategy = runtime_config.strategy
            MACHINE.runtime_configs.append(
                (
                    runtime_config.dynamic_shapes_kernel_specialization_strategy.name,
                    runtime_config.cuda_graph_strategy.name,
                )
            )
        if MACHINE.fails("create_execution_context"):
            log("Error Code 2: OutOfMemory (Requested size was 123 bytes.)")
            return None
        context = IExecutionContext(self._session, self._profile[2], strategy)
        context.kernels = runtime_config.cache if runtime_config is not None else None
        return context


def _options() -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return options


class IExecutionContext(_Native):
    kind = "execution context"

    def __init__(self, session: Any, largest: tuple[int, ...], strategy: ExecutionContextAllocationStrategy) -> None:
        super().__init__()
        self.session = session
        self._largest = largest
        self.is_ours = strategy is ExecutionContextAllocationStrategy.USER_MANAGED
        self._shape: tuple[int, ...] | None = None
        self._planned: tuple[int, ...] | None = None  # the shape that the memory was partitioned for
        self._addresses: dict[str, int] = {}
        self._scratch = (0, 0)
        self.kernels: IRuntimeCache | None = None

    @typed
    def set_input_shape(self, name: str, shape: tuple) -> bool:
        self.used()
        if MACHINE.fails("set_input_shape") or shape[0] > self._largest[0] or shape[1:] != self._largest[1:]:
            log(f"Error Code 3: {name} shape {shape} is outside the profile")
            return False
        self._shape = shape
        return True

    def infer_shapes(self) -> list[str]:
        return [] if self._shape is not None and not MACHINE.fails("infer_shapes") else ["images"]

    @typed
    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        shapes = {value.name: value.shape for value in self.session.get_outputs()}
        batch = -1 if self._shape is None else self._shape[0]
        return tuple(size if isinstance(size, int) else batch for size in shapes[name])

    @typed
    def set_tensor_address(self, name: str, memory: SupportsInt) -> bool:
        self.used()
        self._addresses[name] = int(memory)
        return not MACHINE.fails("set_tensor_address")

    def update_device_memory_size_for_shapes(self) -> int:
        self._planned = self._shape
        return 256 * (self._shape or (0,))[0]

    @typed
    def set_device_memory(self, memory: SupportsInt, size: SupportsInt) -> None:
        self._scratch = (int(memory), int(size))

    @typed
    def execute_async_v3(self, stream_handle: int) -> bool:
        self.used()
        stream = MACHINE.streams.get(stream_handle)
        if stream is None:
            MACHINE.crime("execution on a stream that is not there")
            return False
        if MACHINE.fails("execute_async_v3") or not self._is_ready():
            log("Error Code 2: enqueueV3 failed")
            return False
        if IS_RTX and not self._compile():
            log("Error Code 2: OutOfMemory while compiling kernels")
            return False
        shape, addresses, scratch = self._shape, dict(self._addresses), self._scratch
        context = weakref.ref(self)  # queued work does not keep its context alive
        stream.queue.append(lambda: _compute(context(), shape, addresses, scratch))
        return True

    def _compile(self) -> bool:
        """Kernels of a shape that was not run before."""
        if MACHINE.fails("jit"):
            return False
        shapes = self.kernels.shapes if self.kernels is not None else set()
        MACHINE.jit.append("cached" if str(self._shape) in shapes else "compiled")
        shapes.add(str(self._shape))
        return True

    def _is_ready(self) -> bool:
        needed = 256 * (self._shape or (0,))[0]
        has_memory = not self.is_ours or (self._scratch[1] >= needed and self._planned == self._shape)
        return self._shape is not None and len(self._addresses) == 4 and has_memory


def _compute(
    context: IExecutionContext | None, shape: tuple[int, ...], addresses: dict[str, int], scratch: tuple[int, int]
) -> None:
    if context is None or (context.is_ours and scratch[0] not in MACHINE.memory):
        MACHINE.crime("a batch still running when its context or its memory was freed")
        return
    if any(address not in MACHINE.memory for address in addresses.values()):
        MACHINE.crime("a batch still running when its buffers were freed")
        return
    images = np.frombuffer(bytes(MACHINE.memory[addresses["images"]]), np.uint8)[: int(np.prod(shape))].reshape(shape)
    names = [value.name for value in context.session.get_outputs()]
    for name, values in zip(names, context.session.run(names, {"images": images}), strict=True):
        data = np.full_like(values, np.nan) if MACHINE.fails("nan") else values
        if name == "probability" and MACHINE.fails("wrong"):
            data = np.clip(data + 0.1, 0, 1)
        MACHINE.memory[addresses[name]][: data.nbytes] = data.tobytes()
