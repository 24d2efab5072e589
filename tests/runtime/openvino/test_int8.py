"""int8: the arithmetic that makes it, that it runs in integers, its gate, and what becomes of a wrong int8.npz."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnxruntime import InferenceSession

from mura_batch.errors import ModelError, RunnerError
from mura_batch.model_card import INT8_NAME, Model, load_model, write_card
from mura_batch.runtime import gates
from mura_batch.runtime.choose import open_runner
from mura_batch.runtime.openvino import int8, precision
from mura_batch.runtime.openvino import processor as cpu
from mura_batch.runtime.runner import Outputs, RunnerInfo, RunnerOptions


def run(model: Model, pictures: np.ndarray, **options: Any) -> tuple[Outputs, RunnerInfo]:
    with open_runner(model, RunnerOptions(device="cpu", **options)) as runner:
        (outputs,) = runner.run([pictures])
        return outputs, runner.info


def with_ranges(model: Model, ranges: dict[str, np.ndarray]) -> Model:
    np.savez(model.folder / INT8_NAME, **ranges)
    write_card(model.card, model.folder, (*model.card.hashes, INT8_NAME))
    return load_model(model.folder)


def measured(model: Model, pictures: np.ndarray) -> dict[str, np.ndarray]:
    """The inputs of the tiny network's two convolutions behind a ReLU, by ONNX Runtime."""
    graph = onnx.load(model.onnx)
    graph.graph.output.extend([onnx.ValueInfoProto(name=name) for name in ("r1", "r2")])
    session = InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(["r1", "r2"], {"images": pictures})
    return {n: v.max(axis=(0, 2, 3)).astype(np.float32) for n, v in zip(("r1", "r2"), found, strict=True)}


def convolution_kinds(processor: cpu.Processor, precision: str) -> list[str]:
    network = processor._fresh(precision).get_runtime_model()
    return [
        str(operation.get_rt_info()["runtimePrecision"].value)
        for operation in network.get_ordered_ops()
        if operation.get_rt_info()["layerType"].value == "Convolution"
    ]


@pytest.fixture
def quantized(own_model: Model, pictures: np.ndarray) -> Model:
    return with_ranges(own_model, measured(own_model, pictures))


@pytest.fixture
def int8_here() -> None:
    if not cpu.OpenVino().has_int8:
        pytest.skip("this processor has no VNNI instructions")


@pytest.mark.usefixtures("int8_here")
def test_auto_takes_int8_within_the_gate_and_records_parity(quantized: Model, pictures: np.ndarray) -> None:
    outputs, info = run(quantized, pictures)
    exact, _ = run(quantized, pictures, precision="float32")
    assert info.precision == "int8"
    assert info.parity_max_abs_error is not None
    assert 0 < info.parity_max_abs_error <= gates.CPU_GATE.max_abs
    assert 0 < np.abs(outputs.probability - exact.probability).max() < 0.02


@pytest.mark.usefixtures("int8_here")
def test_the_convolutions_behind_a_relu_run_in_integers(quantized: Model) -> None:
    processor = cpu.Processor(quantized, RunnerOptions())
    kinds = convolution_kinds(processor, "int8")
    assert sorted(kind in ("u8", "i8") for kind in kinds) == [False, False, True, True], kinds


def test_emulated_int8_rounds_in_float32_arithmetic(quantized: Model, pictures: np.ndarray) -> None:
    """Of int8's size, on any processor; without its fake quantization the network would say what float32 says."""
    processor = cpu.Processor(quantized, RunnerOptions())
    exact, rounded = (processor.answers(name, pictures).probability for name in ("float32", cpu.EMULATED_INT8))
    assert 1e-5 < np.abs(rounded - exact).max() < 0.02
    assert set(convolution_kinds(processor, cpu.EMULATED_INT8)) == {"f32"}


def test_emulated_int8_is_what_integers_give(quantized: Model, pictures: np.ndarray) -> None:
    """Also without VNNI: OpenVINO's integer kernels are there, and are not used for scoring."""
    processor = cpu.Processor(quantized, RunnerOptions())
    exact, emulated, integers = (
        processor.answers(name, pictures).probability for name in ("float32", cpu.EMULATED_INT8, "int8")
    )
    assert np.abs(integers - emulated).max() < max(2e-3, np.abs(integers - exact).max() / 2)  # bf16 between them


@pytest.mark.usefixtures("int8_here")
def test_int8_that_misses_the_gate_is_not_used(
    quantized: Model, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenth = {name: values / 10 for name, values in measured(quantized, pictures).items()}
    clipped = with_ranges(quantized, tenth)
    _, info = run(clipped, pictures)
    assert info.precision in ("bf16", "float32")
    assert "int8 misses the parity gate" in info.reason
    with pytest.raises(RunnerError, match="int8 cannot be used: int8 misses the parity gate"):
        run(clipped, pictures, precision="int8")
    monkeypatch.setattr(precision, "CPU_GATE", gates.Gate(max_abs=1e-9, mean_abs=1e-9, flip_margin=0.01))
    assert run(clipped, pictures)[1].precision == "float32"


def test_without_ranges_or_instructions_int8_is_refused_with_the_reason(
    own_model: Model, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RunnerError, match=r"no int8\.npz \(python -m train quantize\)"):
        run(own_model, pictures, precision="int8")
    monkeypatch.setattr(cpu.OpenVino, "has_int8", False)
    model = with_ranges(own_model, measured(own_model, pictures))
    with pytest.raises(RunnerError, match="no VNNI instructions"):
        run(model, pictures, precision="int8")
    assert "no VNNI" in run(model, pictures)[1].reason


@pytest.mark.usefixtures("int8_here")
def test_a_network_cached_for_other_ranges_is_not_used(quantized: Model, pictures: np.ndarray, tmp_path: Path) -> None:
    first, _ = run(quantized, pictures, precision="int8", cache_dir=tmp_path / "cache")
    wider = with_ranges(quantized, {n: values * 1.5 for n, values in measured(quantized, pictures).items()})
    second, _ = run(wider, pictures, precision="int8", cache_dir=tmp_path / "cache")
    assert not np.array_equal(first.probability, second.probability)
    again, _ = run(wider, pictures, precision="int8", cache_dir=tmp_path / "cache")
    assert np.array_equal(second.probability, again.probability)


@pytest.mark.usefixtures("int8_here")
@pytest.mark.parametrize("channels", [{"r1": 3}, {"elsewhere": 8}])
def test_ranges_of_another_network_are_refused(
    own_model: Model, pictures: np.ndarray, channels: dict[str, int]
) -> None:
    model = with_ranges(own_model, {name: np.ones(count, np.float32) for name, count in channels.items()})
    with pytest.raises(ModelError, match=r"int8\.npz .*python -m train quantize"):
        run(model, pictures)


@pytest.mark.parametrize(
    "values", [np.ones((8, 1), np.float32), np.ones(8), np.full(8, -1, np.float32), np.full(8, np.nan, np.float32)]
)
def test_malformed_ranges_are_refused(own_model: Model, values: np.ndarray) -> None:
    with pytest.raises(ModelError, match="python -m train quantize"):
        int8.load_ranges(with_ranges(own_model, {"r1": values}))


def test_an_int8_file_that_is_not_an_archive_is_refused(quantized: Model) -> None:
    (quantized.folder / INT8_NAME).write_bytes(b"no archive")
    with pytest.raises(ModelError, match=r"int8\.npz cannot be read"):
        int8.load_ranges(quantized)


@given(
    largest=arrays(np.float64, 4, elements=st.floats(0, 1e3)),
    weights=arrays(np.float64, (3, 4, 1, 1), elements=st.floats(-10, 10)),
    shares=arrays(np.float64, 4, elements=st.floats(0, 1)),
)
def test_balancing_changes_no_answer_and_lets_nothing_out_of_range(
    largest: np.ndarray, weights: np.ndarray, shares: np.ndarray
) -> None:
    limit, scaled = int8.balanced(largest, weights)
    inputs = shares * largest
    assert (inputs / limit <= 1 + 1e-12).all()
    assert np.isfinite(limit).all()
    assert np.allclose(scaled[:, :, 0, 0] @ (inputs / limit), weights[:, :, 0, 0] @ inputs, rtol=1e-9, atol=1e-9)


def test_balancing_gives_a_rare_large_channel_less_of_its_spread() -> None:
    """One channel a hundred times the other, equal weights: both sides take a factor of ten."""
    limit, scaled = int8.balanced(np.array([100.0, 1.0]), np.ones((1, 2, 1, 1)))
    assert limit == pytest.approx([100, 10])
    assert scaled.ravel() == pytest.approx([100, 10])
