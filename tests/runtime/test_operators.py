"""The graph holds only what TensorRT's ONNX parser documents: a build must not be the first to know.

Sources: github.com/onnx/onnx-tensorrt docs/operators.md, whose table for TensorRT 8.5 lists each of these operators in
FP32 and FP16 (the tables of 10.13 and 11.4 have not been read); NVIDIA's documentation, ONNX opset guide of TensorRT
11:
opset 9 to 25; the docstring of DataType.UINT8 in the bindings of 10.13.3.9 and 11.4.0.106: at the network's input,
converted to float32 or float16 before use with any other layer.
"""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto

from mura_batch.model_card import Model, load_model

ROOT = Path(__file__).parents[2]
FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16}
OPERATORS = {
    "Add", "AveragePool", "BatchNormalization", "Cast", "Concat", "Conv", "Div", "Expand", "Flatten", "Gemm",
    "GlobalAveragePool", "Identity", "MatMul", "MaxPool", "Mul", "ReduceMean", "Relu", "Reshape", "Sigmoid", "Squeeze",
    "Sub", "Transpose", "Unsqueeze", "Gather", "Constant", "Clip",
}  # fmt: skip
AXES_AS_INITIALISERS = {"Squeeze", "ReduceMean", "Unsqueeze"}  # operators.md: "axes must be an initializer"


@pytest.fixture(params=["tiny", "reference"])
def graph(request: pytest.FixtureRequest, tiny_model: Model) -> onnx.ModelProto:
    """With the type of every tensor inferred."""
    if request.param == "tiny":
        path = tiny_model.onnx
    else:
        folder = ROOT / "engines" / "reference"
        if not (folder / "model.onnx").is_file():
            pytest.skip("there is no reference model in this checkout yet")
        path = load_model(folder).onnx
    return onnx.shape_inference.infer_shapes(onnx.load(path), strict_mode=True)


def types(graph: onnx.ModelProto) -> dict[str, int]:
    values = [*graph.graph.value_info, *graph.graph.input, *graph.graph.output]
    found = {value.name: value.type.tensor_type.elem_type for value in values}
    return found | {tensor.name: tensor.data_type for tensor in graph.graph.initializer}


def test_every_operator_is_one_the_parser_documents(graph: onnx.ModelProto) -> None:
    assert {node.op_type for node in graph.graph.node} <= OPERATORS
    assert {node.domain for node in graph.graph.node} <= {"", "ai.onnx"}
    (opset,) = graph.opset_import
    assert 9 <= opset.version <= 25


def test_every_tensor_that_is_computed_is_float32_or_float16(graph: onnx.ModelProto) -> None:
    known = types(graph)
    for node in graph.graph.node:
        for name in node.output:
            assert known[name] in FLOATS, f"{node.op_type} gives {name} as {TensorProto.DataType.Name(known[name])}"


def test_uint8_is_at_the_input_only_and_cast_at_once(graph: onnx.ModelProto) -> None:
    (images,) = graph.graph.input
    assert types(graph)[images.name] == TensorProto.UINT8
    assert [node.op_type for node in graph.graph.node if images.name in node.input] == ["Cast"]
    assert TensorProto.UINT8 not in {tensor.data_type for tensor in graph.graph.initializer}


def test_one_operator_never_mixes_float32_and_float16(graph: onnx.ModelProto) -> None:
    """A strongly typed network refuses it."""
    known = types(graph)
    for node in graph.graph.node:
        if node.op_type != "Cast":
            floats = {known[name] for name in [*node.input, *node.output] if name and known[name] in FLOATS}
            assert len(floats) == 1, node.op_type


def test_only_the_batch_is_dynamic(graph: onnx.ModelProto) -> None:
    for value in [*graph.graph.input, *graph.graph.output]:
        dims = value.type.tensor_type.shape.dim
        assert dims[0].dim_param
        assert all(dim.dim_value > 0 for dim in dims[1:])


def test_axes_are_initialisers_and_the_weights_are_inside(graph: onnx.ModelProto) -> None:
    inside = {tensor.name for tensor in graph.graph.initializer}
    for node in graph.graph.node:
        if node.op_type in AXES_AS_INITIALISERS and len(node.input) > 1:
            assert node.input[1] in inside
    assert not any(tensor.external_data for tensor in graph.graph.initializer)
