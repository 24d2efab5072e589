"""One API call made wrong at a time: the drills must notice. docs/tensorrt.md says which check catches what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mura_batch.model_card import Model
from mura_batch.runtime.runner import Outputs

RUNTIME = Path(__file__).parents[2] / "mura_batch" / "runtime"


@dataclass(frozen=True)
class Mutation:
    what: str
    module: str
    right: str
    wrong: str
    version: str = "11.4.0.106"


MUTATIONS = (
    Mutation("a name of TensorRT 8", "tensorrt.slot", "execute_async_v3(", "execute_async_v2("),
    Mutation(
        "a refused batch is not noticed",
        "tensorrt.slot",
        "if not context.execute_async_v3(self._stream.handle):",
        "if context.execute_async_v3(self._stream.handle) is None:",
    ),
    Mutation(
        "a refused shape is not noticed",
        "tensorrt.slot",
        "if not context.set_input_shape(INPUT, shape):",
        "if context.set_input_shape(INPUT, shape) is None:",
    ),
    Mutation(
        "a refused address is not noticed",
        "tensorrt.slot",
        "if not context.set_tensor_address(name, address):",
        "if context.set_tensor_address(name, address) is None:",
    ),
    Mutation(
        "missing shapes are not noticed",
        "tensorrt.slot",
        "if missing := context.infer_shapes():",
        "if (missing := context.infer_shapes()) is None:",
    ),
    Mutation(
        "a refused plan is not noticed",
        "tensorrt.runner",
        "    if engine is None:\n        raise PlanError",
        "    if engine is False:\n        raise PlanError",
    ),
    Mutation(
        "the answer is read before it is there",
        "tensorrt.slot",
        "            self._done.synchronize()",
        "            pass",
    ),
    Mutation(
        "the event is recorded before the copies",
        "tensorrt.slot",
        "            for output in self._outputs.values():\n"
        "                output.to_host(self._count, self._stream)\n"
        "            self._done.record(self._stream)",
        "            self._done.record(self._stream)\n"
        "            for output in self._outputs.values():\n"
        "                output.to_host(self._count, self._stream)",
    ),
    Mutation(
        "the runtime goes before the engine",
        "tensorrt.runner",
        "        self._engine = None\n        self._runtime = None",
        "        self._runtime = None\n        self._engine = None",
    ),
    Mutation(
        "execution contexts are not released",
        "tensorrt.slot",
        "        self._context = None\n        buffers",
        "        buffers",
    ),
    Mutation(
        "the CUDA context is not released",
        "tensorrt.runner",
        "        if context is not None:\n            troubles +=",
        "        if False:\n            troubles +=",
    ),
    Mutation(
        "an output's profile is asked for",
        "tensorrt.runner",
        "get_tensor_profile_shape(INPUT, 0)",
        "get_tensor_profile_shape('probability', 0)",
    ),
    Mutation(
        "the context gets no memory",
        "tensorrt.slot",
        "            context.set_device_memory(int(self._scratch.memory), self._scratch.size)",
        "            pass",
    ),
    Mutation(
        "TensorRT before CUDA",
        "tensorrt.runner",
        "            self._context = PrimaryContext(self._index)\n            self._runtime = trt.Runtime(LOG)",
        "            self._runtime = trt.Runtime(LOG)\n            self._context = PrimaryContext(self._index)",
    ),
    Mutation(
        "an early stop does not wait",
        "tensorrt.runner",
        "            self._thread.call(self._slot.wait)",
        "            pass",
    ),
    Mutation("numbers are not looked at", "tensorrt.slot", "if not is_finite(outputs):", "if False:"),
    Mutation(
        "the base of the logger is not made", "tensorrt.log", "        trt.ILogger.__init__(self)", "        pass"
    ),
    Mutation("the default stream's follower", "nvidia.cuda", "STREAM_NON_BLOCKING = 1", "STREAM_NON_BLOCKING = 0"),
    Mutation(
        "memory that is not page-locked", "nvidia.cuda", "cuda.pagelocked_empty(shape, dtype)", "np.empty(shape, dtype)"
    ),
    Mutation(
        "the CUDA context is popped but not released", "nvidia.cuda", "            context.detach()", "            pass"
    ),
    Mutation("released while still current", "nvidia.cuda", "            cuda.Context.pop()", "            pass"),
    Mutation(
        "weakly typed on TensorRT 10",
        "tensorrt.network",
        "1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)",
        "0",
        "10.13.3.9",
    ),
    Mutation(
        "the flag's value of TensorRT 11 on 10",
        "tensorrt.network",
        "1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)",
        "1",
        "10.13.3.9",
    ),
    Mutation("TF32 stays on", "tensorrt.network", "    config.clear_flag(trt.BuilderFlag.TF32)", "    pass"),
    Mutation("a flag that 11 no longer has", "tensorrt.network", "trt.BuilderFlag.TF32", "trt.BuilderFlag.FP16"),
    Mutation(
        "a graph not read is not noticed",
        "tensorrt.network",
        "if not parser.parse(graph):",
        "if parser.parse(graph) is None:",
    ),
    Mutation(
        "a refused profile is not noticed",
        "tensorrt.network",
        "config.add_optimization_profile(profile) < 0",
        "config.add_optimization_profile(profile) is None",
    ),
    Mutation("a failed build is not noticed", "tensorrt.network", "    if plan is None:", "    if plan is False:"),
    Mutation("the build cannot be stopped", "tensorrt.network", "return not self._cancelled.is_set()", "return True"),
    Mutation(
        "another GPU's timings are taken",
        "tensorrt.network",
        "config.set_timing_cache(cache, ignore_mismatch=False):\n        c",
        "config.set_timing_cache(cache, ignore_mismatch=True):\n        c",
    ),
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.what)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_wrong_call_is_noticed(
    mutation: Mutation, simulation: Any, own_model: Model, pictures: np.ndarray, expected: Outputs
) -> None:
    source = (RUNTIME / f"{mutation.module.replace('.', '/')}.py").read_text()
    assert mutation.right in source, "the mutation no longer fits the source"
    simulation.start(mutation.version, {mutation.module: source.replace(mutation.right, mutation.wrong, 1)})
    kit = simulation.drills.Kit(simulation.machine, own_model, pictures, expected)
    assert first_drill_to_fail(simulation, kit), "no drill noticed"


def first_drill_to_fail(simulation: Any, kit: Any) -> str:
    """Name of the first drill that fails, each on a fresh machine and model folder; '' if all pass."""
    for drill in simulation.drills.DRILLS:
        version = simulation.machine.tensorrt
        simulation.machine.__init__()
        simulation.machine.tensorrt = version
        for leftover in [*kit.model.folder.glob("*.plan*"), *kit.model.folder.glob("*.timing")]:
            leftover.unlink()
        try:
            drill(kit)
        except Exception:  # noqa: BLE001  # whatever it is, the drill noticed
            return str(drill.__name__)
    return ""
