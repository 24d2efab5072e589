"""One wrong call at a time in the code that both GPU backends share: the real TensorRT-RTX notices, no fake is needed.

docs/tensorrt.md lists which wrong calls are noticed by what.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import onnx
import pytest

from mura_batch.errors import PlanError
from mura_batch.model_card import Model, load_model, write_card

pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: pip install tensorrt-rtx-cu13")

RUNTIME = Path(__file__).parents[3] / "mura_batch" / "runtime"


@dataclass(frozen=True)
class WrongCall:
    what: str
    module: str
    right: str
    wrong: str


WRONG_CALLS = (
    WrongCall(
        "a flag that is gone",
        "nvidia.network",
        "BuilderFlag.TF32)",
        "BuilderFlag.FP16)",
    ),
    WrongCall(
        "a memory pool by number",
        "nvidia.network",
        "library.MemoryPoolType.WORKSPACE,",
        "0,",
    ),
    WrongCall(
        "a parser without its logger",
        "nvidia.network",
        "OnnxParser(network, log)",
        "OnnxParser(network)",
    ),
    WrongCall(
        "a method that is not there",
        "nvidia.network",
        "parser.parse(job.graph)",
        "parser.parse_bytes(job.graph)",
    ),
    WrongCall(
        "a failed parse is ignored",
        "nvidia.network",
        "if not parser.parse(job.graph):",
        "if parser.parse(job.graph) is None:",
    ),
    WrongCall(
        "input types are not compared",
        "nvidia.network",
        "    if actual != wanted:",
        "    if False:",
    ),
    WrongCall(
        "another input name in the profile",
        "nvidia.network",
        "profile.set_shape(INPUT,",
        "profile.set_shape('image',",
    ),
    WrongCall(
        "a shape without its batch",
        "nvidia.network",
        "(1, *item), (options.opt",
        "item, (options.opt",
    ),
    WrongCall(
        "no profile",
        "nvidia.network",
        "if config.add_optimization_profile(profile) < 0:",
        "if False:",
    ),
    WrongCall(
        "a failed build is ignored",
        "nvidia.network",
        "    if plan is None:",
        "    if plan is False:",
    ),
    WrongCall(
        "the monitor's base is not initialised",
        "nvidia.monitor",
        "        library.IProgressMonitor.__init__(self)",
        "        pass",
    ),
    WrongCall(
        "the logger's base is not initialised",
        "nvidia.log",
        "        library.ILogger.__init__(self)",
        "        pass",
    ),
    WrongCall(
        "no monitor",
        "nvidia.network",
        "    config.progress_monitor = monitor",
        "    pass",
    ),
    WrongCall(
        "a build that cannot be cancelled",
        "nvidia.monitor",
        "return not self._cancelled.is_set()",
        "return True",
    ),
    WrongCall(
        "a capability by number",
        "tensorrt_rtx.compile",
        "set_compute_capability(wanted, index)",
        "set_compute_capability(89, index)",
    ),
    WrongCall(
        "capabilities without their count",
        "tensorrt_rtx.compile",
        "    config.num_compute_capabilities = len(capabilities)",
        "    pass",
    ),
    WrongCall(
        "validity compared with a number",
        "tensorrt_rtx.backend",
        "validity == trt.EngineValidity.INVALID",
        "validity == 2",
    ),
)


def compiler() -> Any:
    return import_module("mura_batch.runtime.tensorrt_rtx.compile")


def options(**changes: Any) -> Any:
    return compiler().BuildOptions(**{"opt_batch": 4, "max_batch": 8, **changes})


def refused(work: Callable[[], Any], *words: str) -> None:
    with pytest.raises(PlanError) as caught:
        work()
    assert all(word in str(caught.value) for word in words), str(caught.value)


def builds_and_reports_progress(model: Model) -> None:
    parts: list[float] = []
    path = compiler().compile_plan(model, options(), lambda phase, part: parts.append(part))
    assert parts[-1] == 1.0
    assert path.stat().st_size > 100_000


def builds_for_one_capability(model: Model) -> None:
    assert compiler().compile_plan(model, options(compute_capabilities=("8.9",))).is_file()


def stops_when_it_is_cancelled(model: Model) -> None:
    import tensorrt_rtx as trt

    network = import_module("mura_batch.runtime.nvidia.network")
    cancelled = threading.Event()
    job = network.Job(trt, model.onnx.read_bytes(), 32, options().plan, lambda config: None)
    refused(lambda: network.build_plan(job, lambda phase, part: cancelled.set(), cancelled), "cancelled")


def refuses_what_it_cannot_read(model: Model) -> None:
    whole = model.onnx.read_bytes()
    truncated = with_graph(model, whole[:-1000])
    refused(lambda: compiler().compile_plan(truncated, options()), "Failed to parse")
    with_graph(model, whole)


def refuses_another_input_type(model: Model) -> None:
    whole = model.onnx.read_bytes()
    graph = onnx.load(model.onnx)
    graph.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    refused(lambda: compiler().compile_plan(with_graph(model, graph.SerializeToString()), options()), "the graph takes")
    with_graph(model, whole)


def refuses_too_little_workspace(model: Model) -> None:
    refused(lambda: compiler().compile_plan(model, options(workspace_mib=1, opt_batch=8)), "workspace")


def refuses_a_header_that_is_no_plan(model: Model) -> None:
    import tensorrt_rtx as trt

    backend = import_module("mura_batch.runtime.tensorrt_rtx.backend")
    log = import_module("mura_batch.runtime.nvidia.log").logger_of(trt)
    refused(lambda: backend.check_header(trt.Runtime(log), b"x" * 64), "malformed engine")


CHECKS = (
    builds_and_reports_progress,
    builds_for_one_capability,
    stops_when_it_is_cancelled,
    refuses_what_it_cannot_read,
    refuses_another_input_type,
    refuses_too_little_workspace,
    refuses_a_header_that_is_no_plan,
)


def with_graph(model: Model, graph: bytes) -> Model:
    model.onnx.write_bytes(graph)
    write_card(model.card, model.folder)
    return load_model(model.folder)


@pytest.mark.parametrize("wrong", WRONG_CALLS, ids=lambda wrong: wrong.what)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_real_library_notices_a_wrong_call(
    wrong: WrongCall, own_model: Model, mutated: Callable[[str, str], None]
) -> None:
    source = (RUNTIME / f"{wrong.module.replace('.', '/')}.py").read_text()
    assert source.count(wrong.right) == 1, "the wrong call no longer fits the source"
    mutated(wrong.module, source.replace(wrong.right, wrong.wrong))
    for check in CHECKS:
        try:
            check(own_model)
        except BaseException:  # noqa: BLE001  # whatever it is, the library noticed
            return
    pytest.fail("no check noticed")


def test_the_right_calls_pass_every_check(own_model: Model) -> None:
    for check in CHECKS:
        check(own_model)
