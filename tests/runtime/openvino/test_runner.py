"""The CPU runner: precision and its gate, remembered figures, what it refuses, and that it tells the truth."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import weakref
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from mura_batch.errors import ModelError, RunnerError
from mura_batch.model_card import Model, load_model, write_card
from mura_batch.runtime import gates, parity
from mura_batch.runtime.choose import open_runner
from mura_batch.runtime.openvino import precision
from mura_batch.runtime.openvino import processor as cpu
from mura_batch.runtime.runner import Outputs, RunnerInfo, RunnerOptions
from mura_batch.runtime.start_cache import NetworkCache, ParityCache


def run(model: Model, pictures: np.ndarray, **options: Any) -> tuple[Outputs, RunnerInfo]:
    with open_runner(model, RunnerOptions(device="cpu", features=True, **options)) as runner:
        (outputs,) = runner.run([pictures])
        return outputs, runner.info


@pytest.fixture
def bf16_here() -> None:
    if not cpu.OpenVino().has_bf16:
        pytest.skip("this processor has no bf16 instructions")


def test_float32_gives_what_onnx_runtime_gives(tiny_model: Model, pictures: np.ndarray) -> None:
    outputs, info = run(tiny_model, pictures, precision="float32")
    session = onnxruntime.InferenceSession(tiny_model.onnx.read_bytes(), providers=["CPUExecutionProvider"])
    theirs = dict(zip([o.name for o in session.get_outputs()], session.run(None, {"images": pictures}), strict=True))
    assert np.allclose(outputs.probability, theirs["probability"], atol=1e-3)  # theirs rounds each layer to half
    assert info.precision == "float32"
    assert info.parity_max_abs_error is None


def test_float32_is_float32_though_the_graph_is_half(
    tmp_path: Path, make_tiny_model: Any, pictures: np.ndarray
) -> None:
    model = make_tiny_model(tmp_path / "large", gain=2e5)  # activations of 1e6 and more: infinite in half
    outputs, _ = run(model, pictures, precision="float32")
    assert np.isfinite(outputs.features).all()
    assert outputs.features.max() > 65504  # the largest half


@pytest.mark.usefixtures("bf16_here")
def test_auto_takes_bf16_within_the_gate_and_records_parity(tiny_model: Model, pictures: np.ndarray) -> None:
    outputs, info = run(tiny_model, pictures)
    exact, _ = run(tiny_model, pictures, precision="float32")
    assert info.precision == "bf16"
    assert info.parity_max_abs_error is not None
    assert 0 < info.parity_max_abs_error <= gates.CPU_GATE.max_abs
    assert "12 reference images" in info.reason
    assert 0 < np.abs(outputs.probability - exact.probability).max() < 0.02  # bf16 runs, and is near


@pytest.mark.usefixtures("bf16_here")
def test_bf16_that_misses_the_gate_is_not_used(
    tiny_model: Model, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "CPU_GATE", gates.Gate(max_abs=1e-9, mean_abs=1e-9, flip_margin=0.01))
    _, info = run(tiny_model, pictures)
    assert info.precision == "float32"
    assert "misses the parity gate" in info.reason
    with pytest.raises(RunnerError, match=r"max \|dp\|.*--precision auto or float32"):
        run(tiny_model, pictures, precision="bf16")


def test_without_bf16_instructions_auto_takes_float32_and_bf16_is_refused(
    tiny_model: Model, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu.OpenVino, "has_bf16", False)
    _, info = run(tiny_model, pictures)
    assert info.precision == "float32"
    assert "no bf16 instructions" in info.reason
    with pytest.raises(RunnerError, match="no bf16 instructions"):
        run(tiny_model, pictures, precision="bf16")


@pytest.mark.usefixtures("bf16_here")
def test_parity_is_measured_once_and_remembered(tiny_model: Model, pictures: np.ndarray, tmp_path: Path) -> None:
    _, first = run(tiny_model, pictures, cache_dir=tmp_path / "cache")
    (kept,) = (tmp_path / "cache").glob("parity-*")
    figures = json.loads(kept.read_text())
    assert figures["max_abs"] == first.parity_max_abs_error
    kept.write_text(json.dumps(figures | {"max_abs": 0.0123}))
    assert run(tiny_model, pictures, cache_dir=tmp_path / "cache")[1].parity_max_abs_error == 0.0123
    kept.write_text("{ damaged")
    assert run(tiny_model, pictures, cache_dir=tmp_path / "cache")[1] == first


@pytest.mark.usefixtures("bf16_here")
def test_remembered_figures_of_another_model_are_not_used(
    tiny_model: Model, tmp_path: Path, make_tiny_model: Any, pictures: np.ndarray
) -> None:
    run(tiny_model, pictures, cache_dir=tmp_path / "cache")
    run(make_tiny_model(tmp_path / "other", seed=5), pictures, cache_dir=tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("parity-*"))) == 2


def test_a_cached_network_gives_the_same_answers(
    tiny_model: Model, pictures: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = run(tiny_model, pictures, precision="float32", cache_dir=tmp_path)
    (kept,) = tmp_path.glob("compiled-*")
    monkeypatch.setattr(cpu, "read_graph", lambda path: pytest.fail(f"{path} was compiled again"))
    again, _ = run(tiny_model, pictures, precision="float32", cache_dir=tmp_path)
    assert all(np.array_equal(one, two) for one, two in zip(astuple(first), astuple(again), strict=True))
    assert list(tmp_path.iterdir()) == [kept]


@pytest.mark.parametrize("damage", ["zeroed", "cut", "empty", "another's"])
def test_a_damaged_network_is_compiled_again(
    tiny_model: Model, pictures: np.ndarray, tmp_path: Path, damage: str
) -> None:
    """OpenVINO by itself does not notice: it gave other features without a word."""
    first, _ = run(tiny_model, pictures, precision="float32", cache_dir=tmp_path)
    (kept,) = tmp_path.glob("compiled-*")
    whole = kept.read_bytes()
    other = hashlib.sha256(b"no network").digest() + b"no network"
    half = len(whole) // 2
    kept.write_bytes(
        {
            "zeroed": whole[:half] + bytes(1000) + whole[half + 1000 :],
            "cut": whole[:half],
            "empty": b"",
            "another's": other,
        }[damage]
    )
    again, _ = run(tiny_model, pictures, precision="float32", cache_dir=tmp_path)
    assert all(np.array_equal(one, two) for one, two in zip(astuple(first), astuple(again), strict=True))
    assert kept.read_bytes()[:32] == hashlib.sha256(kept.read_bytes()[32:]).digest(), "a whole one took its place"


def test_the_cache_never_grows_beyond_its_bound(tmp_path: Path) -> None:
    (tmp_path / ".compiled-0123.77.tmp").write_bytes(b"half a network of a run that was killed")
    for number in range(ParityCache.MOST + 10):
        ParityCache(tmp_path, (number,)).write(gates.Parity(1, 0.0, 0.0, 0, True))
        NetworkCache(tmp_path, (number,)).write(b"network")
    assert len(list(tmp_path.iterdir())) == ParityCache.MOST + NetworkCache.MOST
    assert NetworkCache(tmp_path, (ParityCache.MOST + 9,)).read() == b"network", "the newest stays"


def test_a_cache_that_cannot_be_written_does_no_harm(tiny_model: Model, pictures: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outputs, _ = run(tiny_model, pictures, cache_dir=tmp_path / "file" / "cache")
    assert len(outputs.probability) == len(pictures)


def test_a_closed_runner_is_freed(tiny_model: Model, pictures: np.ndarray) -> None:
    """OpenVINO holds no reference to a lane: the garbage collector could not see it, and the model would stay."""
    with open_runner(tiny_model, RunnerOptions("cpu", "float32")) as runner:
        (lane, *_) = runner._lanes
        list(runner.run([pictures]))
        assert lane.ended > 0
        freed = weakref.ref(lane)
        del lane
    assert freed() is None


def test_weights_outside_the_file_are_refused(own_model: Model, pictures: np.ndarray) -> None:
    graph = onnx.load(own_model.onnx)
    onnx.save(graph, own_model.onnx, save_as_external_data=True, location="weights.bin", size_threshold=0)
    write_card(own_model.card, own_model.folder)
    with pytest.raises(ModelError, match="weights in other files"):
        run(load_model(own_model.folder), pictures)


def test_a_graph_that_is_not_the_models_contract_is_refused(own_model: Model, pictures: np.ndarray) -> None:
    graph = onnx.load(own_model.onnx)
    del graph.graph.output[1]
    onnx.save(graph, own_model.onnx)
    write_card(own_model.card, own_model.folder)
    with pytest.raises(ModelError, match="OpenVINO cannot run"):
        run(load_model(own_model.folder), pictures)


def test_a_model_file_that_is_not_onnx_is_refused(own_model: Model, pictures: np.ndarray) -> None:
    own_model.onnx.write_bytes(b"not a graph")
    write_card(own_model.card, own_model.folder)
    with pytest.raises(ModelError, match="OpenVINO cannot run"):
        run(load_model(own_model.folder), pictures)


@pytest.mark.parametrize(
    "arrays", [{}, {"images": np.zeros((3, 32, 32), np.uint8)}, {"images": np.zeros((0, 1, 32, 32), np.uint8)}]
)
def test_malformed_reference_inputs_are_refused(own_model: Model, arrays: dict[str, np.ndarray]) -> None:
    np.savez(own_model.reference_inputs, **arrays)
    with pytest.raises(ModelError, match="export the model again"):
        parity.load_reference_inputs(own_model)


def with_answers(model: Model, answers: np.ndarray) -> Model:
    with np.load(model.reference_inputs) as arrays:
        images = arrays["images"]
    np.savez(model.reference_inputs, images=images, probability=answers)
    write_card(model.card, model.folder)
    return load_model(model.folder)


@pytest.mark.usefixtures("bf16_here")
def test_answers_of_the_export_spare_the_start_float32(own_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    images = parity.load_reference_inputs(own_model)
    exact, _ = run(own_model, images, precision="float32")
    _, measured = run(own_model, images)
    compiled: list[str] = []
    compile_one = cpu.Processor._compile
    monkeypatch.setattr(cpu.Processor, "_compile", lambda self, p: compiled.append(p) or compile_one(self, p))
    _, info = run(with_answers(own_model, exact.probability), images)
    assert compiled == ["bf16"]
    assert info.precision == "bf16"
    assert info.parity_max_abs_error == pytest.approx(measured.parity_max_abs_error, abs=1e-6)


@pytest.mark.usefixtures("bf16_here")
def test_bf16_with_outputs_far_from_the_export_is_rejected(own_model: Model) -> None:
    images = parity.load_reference_inputs(own_model)
    exact, _ = run(own_model, images, precision="float32")
    _, info = run(with_answers(own_model, np.clip(exact.probability + 0.03, 0, 1)), images)
    assert info.precision == "float32"
    assert "misses the parity gate" in info.reason


@pytest.mark.parametrize("answers", [np.zeros(3, np.float32), np.zeros(12), np.full(12, 1.5, np.float32)])
def test_malformed_reference_answers_are_refused(own_model: Model, answers: np.ndarray) -> None:
    with pytest.raises(ModelError, match="export the model again"):
        parity.load_reference_answers(with_answers(own_model, answers), 12)


def test_a_decision_may_flip_only_next_to_the_threshold() -> None:
    def outputs(*probabilities: float) -> Outputs:
        values = np.array(probabilities, np.float32)
        return Outputs(values, np.zeros((len(values), 1, 1), np.float32), np.zeros((len(values), 1), np.float32))

    near = parity.compare_outputs(outputs(0.499, 0.9).probability, outputs(0.501, 0.9), 0.5, gates.FP16_GATE)
    far = parity.compare_outputs(outputs(0.494, 0.9).probability, outputs(0.501, 0.9), 0.5, gates.FP16_GATE)
    broken = parity.compare_outputs(outputs(0.4).probability, outputs(float("nan")), 0.5, gates.FP16_GATE)
    assert (near.flips, far.flips) == (0, 1)
    assert near.max_abs == pytest.approx(0.002, abs=1e-6)
    assert "not a finite number" in broken.failures(gates.FP16_GATE)[0]
    assert len(broken.failures(gates.FP16_GATE)) >= 3, "NaN is past every gate"


def test_opening_the_contract_loads_no_heavy_library() -> None:
    code = (
        "import sys, mura_batch.runtime, mura_batch.runtime.choose, mura_batch.runtime.tensorrt.compile; "
        "print([m for m in ('openvino', 'tensorrt', 'pycuda', 'torch', 'onnx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
