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


RTX = "1.7.1.116"


MUTATIONS = (
    Mutation("a name of TensorRT 8", "nvidia.slot", "execute_async_v3(", "execute_async_v2("),
    Mutation(
        "a refused batch is not noticed",
        "nvidia.slot",
        "if not context.execute_async_v3(self._stream.handle):",
        "if context.execute_async_v3(self._stream.handle) is None:",
    ),
    Mutation(
        "a refused shape is not noticed",
        "nvidia.slot",
        "if not context.set_input_shape(INPUT, shape):",
        "if context.set_input_shape(INPUT, shape) is None:",
    ),
    Mutation(
        "a refused address is not noticed",
        "nvidia.slot",
        "if not context.set_tensor_address(name, address):",
        "if context.set_tensor_address(name, address) is None:",
    ),
    Mutation(
        "missing shapes are not noticed",
        "nvidia.slot",
        "if missing := context.infer_shapes():",
        "if (missing := context.infer_shapes()) is None:",
    ),
    Mutation(
        "a refused plan is not noticed",
        "nvidia.session",
        "    if engine is None:",
        "    if engine is False:",
    ),
    Mutation(
        "the answer is read before it is there",
        "nvidia.slot",
        "            self._done.synchronize()",
        "            pass",
    ),
    Mutation(
        "the event is recorded before the copies",
        "nvidia.slot",
        "            for output in self._outputs.values():\n"
        "                output.to_host(self._count, self._stream)\n"
        "            self._done.record(self._stream)",
        "            self._done.record(self._stream)\n"
        "            for output in self._outputs.values():\n"
        "                output.to_host(self._count, self._stream)",
    ),
    Mutation(
        "the runtime goes before the engine",
        "nvidia.session",
        "        self._engine = None\n        self._runtime = None",
        "        self._runtime = None\n        self._engine = None",
    ),
    Mutation(
        "execution contexts are not released",
        "nvidia.slot",
        "        self._context = None\n        buffers",
        "        buffers",
    ),
    Mutation(
        "the CUDA context is not released",
        "nvidia.session",
        "        if context is not None:\n            failures +=",
        "        if False:\n            failures +=",
    ),
    Mutation(
        "an output's profile is asked for",
        "nvidia.session",
        "get_tensor_profile_shape(INPUT, 0)",
        "get_tensor_profile_shape('probability', 0)",
    ),
    Mutation(
        "the context gets no memory",
        "nvidia.slot",
        "            context.set_device_memory(int(self._scratch.memory), self._scratch.size)",
        "            pass",
    ),
    Mutation(
        "TensorRT before CUDA",
        "nvidia.session",
        "            self._context = PrimaryContext(self._gpu.index)\n"
        "            self._runtime = library.Runtime(logger_of(library))",
        "            self._runtime = library.Runtime(logger_of(library))\n"
        "            self._context = PrimaryContext(self._gpu.index)",
    ),
    Mutation(
        "an early stop does not wait",
        "nvidia.runner",
        "            self._thread.call(self._slot.wait)",
        "            pass",
    ),
    Mutation("numbers are not looked at", "nvidia.slot", "if not is_finite(outputs):", "if False:"),
    Mutation(
        "the logger's base is not initialised",
        "nvidia.log",
        "            library.ILogger.__init__(self)",
        "            pass",
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
        "nvidia.network",
        "1 << int(library.NetworkDefinitionCreationFlag.STRONGLY_TYPED)",
        "0",
        "10.13.3.9",
    ),
    Mutation(
        "the flag's value of TensorRT 11 on 10",
        "nvidia.network",
        "1 << int(library.NetworkDefinitionCreationFlag.STRONGLY_TYPED)",
        "1",
        "10.13.3.9",
    ),
    Mutation("TF32 stays on", "nvidia.network", "    config.clear_flag(library.BuilderFlag.TF32)", "    pass"),
    Mutation("a flag that 11 no longer has", "nvidia.network", "library.BuilderFlag.TF32", "library.BuilderFlag.FP16"),
    Mutation(
        "a graph not read is not noticed",
        "nvidia.network",
        "if not parser.parse(job.graph):",
        "if parser.parse(job.graph) is None:",
    ),
    Mutation(
        "a refused profile is not noticed",
        "nvidia.network",
        "config.add_optimization_profile(profile) < 0",
        "config.add_optimization_profile(profile) is None",
    ),
    Mutation("a failed build is not noticed", "nvidia.network", "    if plan is None:", "    if plan is False:"),
    Mutation("the build cannot be stopped", "nvidia.monitor", "return not self._cancelled.is_set()", "return True"),
    Mutation(
        "another GPU's timings are taken",
        "tensorrt.timing_cache",
        "config.set_timing_cache(cache, ignore_mismatch=False):\n            c",
        "config.set_timing_cache(cache, ignore_mismatch=True):\n            c",
    ),
    Mutation(
        "RTX: the cache of kernels is not given",
        "tensorrt_rtx.jit",
        "        if not config.set_runtime_cache(self._cache):",
        "        if False:",
        RTX,
    ),
    Mutation(
        "RTX: contexts that allocate by themselves",
        "tensorrt_rtx.jit",
        "create_execution_context(runtime_config=self._config)",
        "create_execution_context()",
        RTX,
    ),
    Mutation(
        "RTX: the configuration outlives the engine",
        "nvidia.session",
        "        if contexts is not None:\n            contexts.close()\n        self._engine = None",
        "        self._engine = None",
        RTX,
    ),
    Mutation(
        "RTX: the header is not looked at",
        "nvidia.session",
        "            self._variant.check_header(self._runtime, data)",
        "            pass",
        RTX,
    ),
    Mutation(
        "RTX: a batch is run in its own shape",
        "nvidia.slot",
        "if images.shape != self._shape and not self._is_fixed:",
        "if images.shape != self._shape:",
        RTX,
    ),
    Mutation(
        "RTX: a plan is not accepted before it scores",
        "nvidia.acceptance",
        "    require_gate(parity,",
        "    (parity,",
        RTX,
    ),
    Mutation(
        "RTX: compiled kernels are not kept",
        "tensorrt_rtx.jit",
        "            self._file.write(bytes(memoryview(content)))",
        "            pass",
        RTX,
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
    drills = simulation.drills.DRILLS[:: -1 if simulation.is_rtx else 1]  # what only RTX does is drilled last
    for drill in drills:
        version = simulation.machine.tensorrt
        simulation.machine.__init__()
        simulation.machine.tensorrt = version
        if simulation.is_rtx:
            simulation.machine.gpus[0].capability = (8, 9)
        for leftover in [*kit.model.folder.glob("*.plan*"), *kit.model.folder.glob("*.timing")]:
            leftover.unlink()
        try:
            drill(kit)
        except Exception:  # noqa: BLE001  # whatever it is, the drill noticed
            return str(drill.__name__)
    return ""
