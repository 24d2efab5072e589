"""Builds with the real TensorRT-RTX: NVIDIA's own parser, type system and builder. Needs no GPU and no driver."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto

from mura_batch.errors import InputError, ModelError, PlanError
from mura_batch.model_card import Model, load_model, write_card
from mura_batch.runtime.nvidia.log import logger_of
from mura_batch.runtime.nvidia.network import Job, make_config, parse, strongly_typed_network
from mura_batch.runtime.nvidia.plans import (
    Plan,
    PlanOptions,
    Target,
    read_plan,
    read_sidecar,
    select_plan,
    sidecar_path,
)
from mura_batch.runtime.tensorrt_rtx.backend import check_header
from mura_batch.runtime.tensorrt_rtx.compile import BuildOptions, compile_plan

trt = pytest.importorskip(
    "tensorrt_rtx", reason="TensorRT-RTX has no wheel for this machine: pip install tensorrt-rtx-cu13"
)

REFERENCE = Path(__file__).parents[3] / "engines" / "reference"
SMALL = BuildOptions(opt_batch=4, max_batch=8)
OPTIONS = SMALL.plan
# Linux counts the memory of the process that starts another to the peak of the started one: a small process starts it.
MEASURED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(usage.ru_utime + usage.ru_stime)
print(usage.ru_maxrss)
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory, tiny_model: Model) -> Plan:
    path = compile_plan(tiny_model, BuildOptions(tmp_path_factory.mktemp("plan"), opt_batch=4, max_batch=8))
    return Plan(path, read_sidecar(path))


def changed(model: Model, change: Callable[[onnx.ModelProto], None]) -> Model:
    graph = onnx.load(model.onnx)
    change(graph)
    return with_graph(model, graph.SerializeToString())


def with_graph(model: Model, graph: bytes) -> Model:
    model.onnx.write_bytes(graph)
    write_card(model.card, model.folder)
    return load_model(model.folder)


def job(graph: bytes, size: int, options: PlanOptions = OPTIONS) -> Job:
    return Job(trt, graph, size, options, lambda config: None)


@pytest.mark.skipif(not (REFERENCE / "model.onnx").is_file(), reason="there is no reference model in this checkout")
def test_nvidias_parser_reads_the_contract_types_from_the_reference_graph() -> None:
    size = load_model(REFERENCE).card.input.size
    builder = trt.Builder(logger_of(trt))
    network = strongly_typed_network(trt, builder)
    parse(trt.OnnxParser(network, logger_of(trt)), job((REFERENCE / "model.onnx").read_bytes(), size))
    assert network.num_layers > 500
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    convolutions = [layer for layer in layers if layer.type == trt.LayerType.CONVOLUTION]
    half = [layer.get_output(0).dtype == trt.DataType.HALF for layer in convolutions]
    assert sum(half) >= 168, "the body is float16"
    assert half.count(False) <= 1, "and the head float32"
    assert (network.get_input(0).dtype, tuple(network.get_input(0).shape)) == (trt.DataType.UINT8, (-1, 1, size, size))


@pytest.mark.slow
@pytest.mark.skipif(not (REFERENCE / "model.onnx").is_file(), reason="there is no reference model in this checkout")
def test_the_reference_model_is_compiled_within_its_limits(tmp_path: Path) -> None:
    command = ["mura_batch", "compile", str(REFERENCE), "--backend", "rtx", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True, check=True
    )
    printed, seconds, peak_kb = done.stdout.splitlines()
    (path,) = tmp_path.glob("*.plan")
    assert printed == str(path)
    assert path.stat().st_size < 45e6
    assert read_sidecar(path).parity is None
    assert float(seconds) < 15
    assert int(peak_kb) < 700 * 1024
    assert sorted(entry.suffix for entry in tmp_path.iterdir()) == [".json", ".plan"]


def test_a_plan_is_published_with_a_sidecar_that_describes_it(plan: Plan, tiny_model: Model) -> None:
    assert read_plan(plan) == plan.path.read_bytes()
    assert plan.sidecar.target == Target("TensorRT-RTX", trt.__version__, ("8.0", "8.6", "8.9", "12.x"))
    assert plan.sidecar.model_hash == tiny_model.hash
    assert plan.sidecar.parity is None, "not yet accepted"
    assert sorted(entry.name for entry in plan.path.parent.iterdir()) == [plan.path.name, sidecar_path(plan.path).name]


def test_a_damaged_plan_and_a_foreign_one_are_refused(own_model: Model, plan: Plan) -> None:
    data = bytearray(plan.path.read_bytes())
    data[len(data) // 2] ^= 1
    copy = Plan(own_model.folder / plan.path.name, plan.sidecar)
    copy.path.write_bytes(data)
    with pytest.raises(PlanError, match="not the plan its sidecar describes"):
        read_plan(copy)
    foreign = json.loads(sidecar_path(plan.path).read_text()) | {"model_hash": "0" * 64}
    sidecar_path(copy.path).write_text(json.dumps(foreign))
    with pytest.raises(PlanError, match="built from another model"):
        select_plan(own_model, Target("TensorRT-RTX", trt.__version__, ("8.9",), "NVIDIA L4", 58), "compile")


def test_without_a_driver_a_plan_is_refused_and_nothing_crashes(plan: Plan) -> None:
    """In a process of its own: a crash would end it."""
    code = f"""
import tensorrt_rtx as trt
from mura_batch.errors import PlanError
from mura_batch.runtime.nvidia.log import logger_of
from mura_batch.runtime.tensorrt_rtx.backend import check_header
data = open({str(plan.path)!r}, 'rb').read()
runtime = trt.Runtime(logger_of(trt))
try:
    check_header(runtime, data)
except PlanError as error:
    print(error)
print(runtime.deserialize_cuda_engine(data), logger_of(trt).take())
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if "VALID" not in done.stdout and "None" in done.stdout:
        assert "cannot run this plan on this GPU" in done.stdout
        assert "cudaError" in done.stdout


def test_compile_then_score_without_a_gpu_ends_in_one_line(own_model: Model, tmp_path: Path) -> None:
    from mura_batch.phantom import PhantomOptions, make_phantoms
    from mura_batch.runtime.backend import Absent
    from mura_batch.runtime.nvidia.devices import list_gpus

    if not isinstance(list_gpus(), Absent):
        pytest.skip("this machine has a GPU")
    compile_plan(own_model, SMALL)
    studies = make_phantoms(tmp_path / "studies", PhantomOptions(studies=1, small=True)).folder
    command = [
        "score",
        str(studies),
        "--out",
        str(tmp_path / "out"),
        "--model",
        str(own_model.folder),
        "--device",
        "gpu",
    ]
    done = subprocess.run([sys.executable, "-m", "mura_batch", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "--device gpu" in done.stderr


@pytest.mark.parametrize("at", [0.0, 0.4, 0.8])
def test_a_build_is_cancelled_at_any_point_and_leaves_nothing(
    own_model: Model, press_ctrl_c: Callable[[], None], at: float
) -> None:
    before = sorted(own_model.folder.iterdir())
    seen: list[float] = []

    def report(phase: str, part: float) -> None:
        seen.append(part)
        if part >= at and not any(earlier >= at for earlier in seen[:-1]):
            press_ctrl_c()

    with pytest.raises(KeyboardInterrupt):
        compile_plan(own_model, SMALL, report)
    assert seen[-1] < 1.0, "the build went on"
    assert sorted(own_model.folder.iterdir()) == before


def test_a_failing_report_stops_the_build_and_is_raised(own_model: Model) -> None:
    def report(phase: str, part: float) -> None:
        raise BrokenPipeError("the terminal is gone")

    with pytest.raises(BrokenPipeError):
        compile_plan(own_model, SMALL, report)
    assert not list(own_model.folder.glob("*.plan*"))


def float_input(graph: onnx.ModelProto) -> None:
    graph.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


def no_cam(graph: onnx.ModelProto) -> None:
    del graph.graph.output[1]


def other_operator(graph: onnx.ModelProto) -> None:
    graph.graph.node[7].op_type = "Frobnicate"


def mixed_types(graph: onnx.ModelProto) -> None:
    graph.graph.node[5].input[0] = "normal"  # float32 pixels beside float16 weights


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (float_input, "DataType.FLOAT"),
        (no_cam, "export the model again"),
        (other_operator, "Plugin not found"),
        (mixed_types, "must be of same type. `input` type is Float but `kernel` is of type Half"),
    ],
)
def test_a_graph_that_fails_to_build_reports_nvidias_message(
    own_model: Model, change: Callable[[onnx.ModelProto], None], words: str
) -> None:
    model = changed(own_model, change)
    before = sorted(model.folder.iterdir())
    with pytest.raises(PlanError) as caught:
        compile_plan(model, SMALL)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(model.folder.iterdir()) == before


@pytest.mark.parametrize("part", [0.0, 0.5, 0.99])
def test_a_truncated_graph_is_refused(own_model: Model, part: float) -> None:
    """The parser accepts an empty file; then the contract is not met."""
    graph = own_model.onnx.read_bytes()
    words = "Failed to parse the ONNX model" if part else "the graph takes {}"
    with pytest.raises(PlanError, match=words):
        compile_plan(with_graph(own_model, graph[: int(part * len(graph))]), SMALL)


def test_weights_outside_the_file_are_refused(own_model: Model) -> None:
    onnx.save(
        onnx.load(own_model.onnx), own_model.onnx, save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    write_card(own_model.card, own_model.folder)
    with pytest.raises(ModelError, match="weights in other files"):
        compile_plan(load_model(own_model.folder), SMALL)


def test_too_little_workspace_is_reported_by_the_builder(own_model: Model) -> None:
    with pytest.raises(PlanError, match="within workspace limit"):
        compile_plan(own_model, BuildOptions(opt_batch=8, max_batch=8, workspace_mib=1, compute_capabilities=("8.9",)))


def test_batches_out_of_order_are_refused_by_the_profile(tiny_model: Model) -> None:
    with pytest.raises(PlanError, match=r"MIN<=OPT<=MAX"):
        make_config(trt.Builder(logger_of(trt)), job(b"", 32, PlanOptions(9, 8, 64, 3, False)))


def test_tf32_is_off_and_the_workspace_bounded(tiny_model: Model) -> None:
    config = make_config(trt.Builder(logger_of(trt)), job(b"", 32))
    assert not config.get_flag(trt.BuilderFlag.TF32)
    assert config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE) == OPTIONS.workspace_mib << 20
    assert config.num_optimization_profiles == 1


def test_turing_alone_is_built_and_several_capabilities_are_warned_of(own_model: Model) -> None:
    lines: list[str] = []
    turing = BuildOptions(opt_batch=4, max_batch=8, compute_capabilities=("7.5",))
    assert "cc7.5." in compile_plan(own_model, turing, warn=lines.append).name
    assert lines == []
    both = BuildOptions(opt_batch=4, max_batch=8, compute_capabilities=("8.6", "8.9"))
    assert "cc8.6-8.9." in compile_plan(own_model, both, warn=lines.append).name
    assert "advises against" in lines[0]


@pytest.mark.parametrize("capability", ["9.0", "10.0", "8.7", "CURRENT"])
def test_a_capability_that_rtx_does_not_build_for_is_refused(own_model: Model, capability: str) -> None:
    with pytest.raises(InputError, match=r"builds for 7\.5, 8\.0"):
        compile_plan(own_model, BuildOptions(compute_capabilities=(capability,)))


def test_a_header_that_is_not_a_plan_is_refused() -> None:
    with pytest.raises(PlanError, match="malformed engine"):
        check_header(trt.Runtime(logger_of(trt)), b"x" * 64)


def test_builds_in_two_threads_do_not_disturb_each_other(own_model: Model, tmp_path: Path) -> None:
    results: list[Any] = []

    def build(number: int) -> None:
        results.append(compile_plan(own_model, BuildOptions(tmp_path / str(number), opt_batch=4, max_batch=8)))

    threads = [threading.Thread(target=build, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
