"""The emulation of half precision, and the gates."""

from __future__ import annotations

import re

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mura_batch.errors import ModelError
from mura_batch.runtime.gates import Parity
from train.cli.main import parser
from train.models.float16_rounding import compare, emulated, require_parity, run_onnx


def half_graph(factor: float) -> bytes:
    """uint8 [N, 1, 1, 1] -> float16, times factor, back to float32 and divided by factor: 1 at best."""
    nodes = [
        helper.make_node("Cast", ["images"], ["x"], to=TensorProto.FLOAT16),
        helper.make_node("Mul", ["x", "factor"], ["large"]),
        helper.make_node("Mul", ["large", "inverse"], ["small"]),
        helper.make_node("Cast", ["small"], ["probability"], to=TensorProto.FLOAT),
    ]
    constants = [
        numpy_helper.from_array(np.array([factor], np.float16), "factor"),
        numpy_helper.from_array(np.array([1 / factor], np.float16), "inverse"),
    ]
    image = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", 1, 1, 1])
    out = helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["batch", 1, 1, 1])
    graph = helper.make_graph(nodes, "half", [image], [out], constants)
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


def scored(network: bytes, value: int) -> NDArray[np.float32]:
    return run_onnx(network, np.full((1, 1, 1), value, np.uint8), threads=1)["probability"].ravel()


def test_an_overflow_that_the_cpu_hides_is_seen() -> None:
    """60 x 2000 = 120,000 is above float16's 65,504. ONNX Runtime's CPU provider computes it in float32."""
    network = half_graph(2000.0)
    assert np.isinf(scored(emulated(network), 60)).all()
    assert np.isfinite(scored(emulated(network), 30)).all()


def test_each_value_is_rounded_as_float16_rounds_it() -> None:
    expected = np.float16(np.float16(77) * np.float16(0.3)) * np.float16(1 / 0.3)
    assert scored(emulated(half_graph(0.3)), 77)[0] == np.float32(np.float16(expected))


def test_the_emulation_has_no_half_tensor_but_between_its_casts() -> None:
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(emulated(half_graph(2.0))))
    half = {v.name for v in model.graph.value_info if v.type.tensor_type.elem_type == TensorProto.FLOAT16}
    assert half
    assert all(n.op_type == "Cast" for n in model.graph.node if half & {*n.input, *n.output})


def test_only_a_change_away_from_the_threshold_is_a_flip() -> None:
    full = np.array([0.499, 0.45, 0.9], np.float32)
    half = np.array([0.501, 0.55, 0.9], np.float32)
    parity = compare(half, full, threshold=0.5)
    assert (parity.flips, parity.n) == (1, 3)
    assert parity.max_abs == pytest.approx(0.1, abs=1e-6)


@pytest.mark.parametrize(
    ("parity", "words"),
    [
        (Parity(9, 6e-3, 1e-4, 0, finite=True), r"max \|dp\|"),
        (Parity(9, 1e-3, 6e-4, 0, finite=True), r"mean \|dp\|"),
        (Parity(9, 1e-3, 1e-4, 1, finite=True), "decision flips"),
        (compare(np.array([np.nan], np.float32), np.array([0.5], np.float32), 0.5), "overflows"),
    ],
)
def test_each_gate_refuses_by_name(parity: Parity, words: str) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        require_parity(parity, "val")
    assert "export another epoch" in str(caught.value)
    offered = parser().format_help()
    assert all(option in offered for option in re.findall(r"--[\w-]+", str(caught.value))), "advice that works"


def test_what_passes_the_gates_passes() -> None:
    require_parity(Parity(9, 5e-3, 5e-4, 0, finite=True), "val")
