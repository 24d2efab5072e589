"""A tiny model folder that honours the model's contract and a simulated GPU machine."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mura_batch.model_card import Model, ModelCard, load_model, write_card
from mura_batch.preprocess import InputSpec
from mura_batch.runtime.choose import open_runner
from mura_batch.runtime.runner import Outputs, RunnerOptions

SIZE = 32
FEATURES = 1664  # DenseNet169's pooled width: part of the contract
REFERENCE_PICTURES = 12
RUNTIME = Path(__file__).parents[2] / "mura_batch" / "runtime"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """uint8 [N, 1, 32, 32] in, FP16 body, float32 head; scores spread over 0..1."""
    return make_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def own_model(tmp_path: Path) -> Model:
    """A tiny model whose folder the test may change."""
    return make_model(tmp_path / "tiny")


@pytest.fixture
def press_ctrl_c() -> Iterator[Callable[[], None]]:
    """For another thread to call: Ctrl-C in the main thread. It returns when the main thread has noticed."""
    noticed = threading.Event()

    def interrupt(number: int, frame: Any) -> None:
        noticed.set()
        raise KeyboardInterrupt

    def press() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        assert noticed.wait(60)
        time.sleep(0.5)  # from there to the handler of the exception

    before = signal.signal(signal.SIGINT, interrupt)
    yield press
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def pictures() -> np.ndarray:
    """[20, 1, 32, 32] uint8, no two alike."""
    return make_pictures(20, seed=1)


@pytest.fixture
def make_tiny_model() -> Any:
    """The maker itself: make_tiny_model(folder, gain=..., seed=...)."""
    return make_model


def make_model(folder: Path, gain: float = 1.0, seed: int = 0) -> Model:
    """gain: factor on the first convolution; 1e5 overflows FP16."""
    folder.mkdir(parents=True)
    onnx.save(make_graph(gain, seed), folder / "model.onnx")
    np.savez_compressed(folder / "reference_inputs.npz", images=make_pictures(REFERENCE_PICTURES, seed=2))
    write_card(make_card(), folder)
    return load_model(folder)


def make_pictures(count: int, seed: int) -> np.ndarray:
    """Flat greys with noise: their mean, and so their score, differs from one to the next."""
    random = np.random.default_rng(seed)
    grey = random.integers(0, 200, size=(count, 1, 1, 1))
    return (grey + random.integers(0, 56, size=(count, 1, SIZE, SIZE))).astype(np.uint8)


def make_card() -> ModelCard:
    return ModelCard(
        name="tiny", version="1", input=InputSpec(size=SIZE), threshold=0.5, threshold_rule="fixed for tests",
        regions=("hand",), temperature=1.0, temperature_rule="none", licence="Apache-2.0", attribution="none",
        intended_use="tests", limits=("not a model of anything",), training={}, figures={}, parity={},
    )  # fmt: skip


def make_graph(gain: float, seed: int) -> onnx.ModelProto:
    random = np.random.default_rng(seed)
    weights = {
        "mean": np.array(0.45, np.float32),
        "std": np.array(0.22, np.float32),
        "scale": np.array(255, np.float32),
        "w1": (gain * random.normal(0.3, 0.2, (8, 1, 3, 3))).astype(np.float32).clip(-6e4, 6e4).astype(np.float16),
        "w2": random.normal(0, 0.2, (16, 8, 3, 3)).astype(np.float16),
        "w3": random.normal(0, 0.2, (FEATURES, 16, 1, 1)).astype(np.float16),
        "unit": random.normal(0, 0.04, (1, FEATURES, 1, 1)).astype(np.float32),
        "bias": np.array([0.2], np.float32),
        "squeeze": np.array([1], np.int64),
        "space": np.array([2, 3], np.int64),
        "plane": np.array([1, 2], np.int64),
    }
    pads = {"pads": [1, 1, 1, 1], "strides": [2, 2]}
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["float", "scale"], ["unit_range"]),
        helper.make_node("Sub", ["unit_range", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "std"], ["normal"]),
        helper.make_node("Cast", ["normal"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Conv", ["half", "w1"], ["c1"], **pads),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], **pads),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("Conv", ["r2", "w3"], ["c3"]),
        helper.make_node("Relu", ["c3"], ["r3"]),
        helper.make_node("Cast", ["r3"], ["body"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["body", "space"], ["features"], keepdims=0),
        helper.make_node("Conv", ["body", "unit"], ["map"]),
        helper.make_node("Squeeze", ["map", "squeeze"], ["cam"]),
        helper.make_node("ReduceMean", ["cam", "plane"], ["pooled"], keepdims=0),
        helper.make_node("Add", ["pooled", "bias"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
    ]
    cells = SIZE // 4
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", 1, SIZE, SIZE])],
        [
            helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info("cam", TensorProto.FLOAT, ["n", cells, cells]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", FEATURES]),
        ],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


FAKES = Path(__file__).parent / "fakes"
TENSORRT_VERSIONS = ("10.13.3.9", "11.4.0.106")
RTX_VERSION = "1.7.1.116"
# Of mura_batch.runtime, in the order of their imports: those that import pycuda, and those that mutations change.
GPU_MODULES = (
    "nvidia.log",
    "nvidia.monitor",
    "nvidia.network",
    "nvidia.cuda",
    "nvidia.slot",
    "nvidia.session",
    "nvidia.acceptance",
    "nvidia.runner",
    "tensorrt.backend",
    "tensorrt.timing_cache",
    "tensorrt.compile",
    "tensorrt_rtx.jit",
    "tensorrt_rtx.backend",
    "tensorrt_rtx.compile",
)


class Simulation:
    """pycuda and TensorRT replaced by fakes over a simulated machine; see fakes/machine.py for the rules it keeps."""

    def __init__(self) -> None:
        self._saved = {name: sys.modules.get(name) for name in self._names()}
        self.forget()
        self.machine = load("simulated_machine", FAKES / "machine.py").reset()

    @property
    def is_rtx(self) -> bool:
        return self.machine.tensorrt.startswith("1.")

    def start(self, version: str, sources: dict[str, str] | None = None) -> None:
        """sources: module of mura_batch.runtime -> its text, in place of the file's (for mutations)."""
        self.machine.tensorrt = version
        pycuda = ModuleType("pycuda")
        pycuda.__path__ = []
        sys.modules["pycuda"] = pycuda
        pycuda.driver = load("pycuda.driver", FAKES / "pycuda_driver.py")  # type: ignore[attr-defined]
        for name in ("tensorrt", "tensorrt_rtx"):
            sys.modules[name] = None  # type: ignore[assignment]  # cannot be imported
        load("tensorrt_rtx" if self.is_rtx else "tensorrt", FAKES / "tensorrt_module.py")
        if self.is_rtx:
            self.machine.gpus[0].capability = (8, 9)
        for name in GPU_MODULES:
            if sources and name in sources:
                load(f"mura_batch.runtime.{name}", RUNTIME / f"{name.replace('.', '/')}.py", sources[name])
        self.drills = load("gpu_drills", FAKES / "drills.py")

    def forget(self) -> None:
        for name in self._names():
            sys.modules.pop(name, None)
        for name in GPU_MODULES:
            package, _, module = name.partition(".")
            # `from package import module` looks there first
            if loaded := sys.modules.get(f"mura_batch.runtime.{package}"):
                vars(loaded).pop(module, None)

    def stop(self) -> None:
        self.forget()
        sys.modules.update({name: module for name, module in self._saved.items() if module is not None})

    @staticmethod
    def _names() -> list[str]:
        own = [f"mura_batch.runtime.{name}" for name in GPU_MODULES]
        return ["pycuda", "pycuda.driver", "tensorrt", "tensorrt_rtx", "simulated_machine", "gpu_drills", *own]


def load(name: str, path: Path, source: str | None = None) -> ModuleType:
    """The file (or the text in its place) as the module of that name."""
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    exec(compile(source if source is not None else path.read_text(), str(path), "exec"), module.__dict__)
    return module


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulation]:
    """Not started: call `simulation.start(version)`."""
    simulated = Simulation()
    uuid = lambda index: simulated.machine.gpus[index].uuid  # noqa: E731  # no libcuda to ask
    monkeypatch.setattr("mura_batch.runtime.nvidia.devices.device_uuid", uuid)
    yield simulated
    simulated.stop()


@pytest.fixture(params=[*TENSORRT_VERSIONS, RTX_VERSION])
def kit(
    request: pytest.FixtureRequest, simulation: Simulation, own_model: Model, pictures: np.ndarray, expected: Outputs
) -> Any:
    """What a drill needs, on a machine with a GPU and TensorRT 10 or 11, or TensorRT-RTX."""
    simulation.start(request.param)
    return simulation.drills.Kit(simulation.machine, own_model, pictures, expected)


@pytest.fixture(scope="session")
def expected(tiny_model: Model, pictures: np.ndarray) -> Outputs:
    """What the CPU says of `pictures` in float32."""
    with open_runner(tiny_model, RunnerOptions(device="cpu", precision="float32", features=True)) as runner:
        (outputs,) = runner.run([pictures])
    return outputs


@pytest.fixture
def mutated() -> Iterator[Callable[[str, str], None]]:
    """mutated(module of mura_batch.runtime, text): imports from now on see that text in place of the module's own. What
    the real TensorRT-RTX builds with; modules that need pycuda are left alone."""
    names = [f"mura_batch.runtime.{name}" for name in GPU_MODULES]
    saved = {name: sys.modules.pop(name, None) for name in names}

    def put(module: str, text: str) -> None:
        load(f"mura_batch.runtime.{module}", RUNTIME / f"{module.replace('.', '/')}.py", text)

    yield put
    for name in names:
        sys.modules.pop(name, None)
    sys.modules.update({name: module for name, module in saved.items() if module is not None})


class Missing(MetaPathFinder):
    """Makes an import fail as it does on a machine without it."""

    def __init__(self, name: str, error: Exception) -> None:
        self.name = name
        self.error = error

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        if fullname == self.name:
            raise self.error


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Exception], None]:
    def hide(name: str, error: Exception) -> None:
        monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.setattr(sys, "meta_path", [Missing(name, error), *sys.meta_path])

    return hide
