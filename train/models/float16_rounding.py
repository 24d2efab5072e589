"""What half precision does to a graph, seen on a processor without half-precision kernels.

ONNX Runtime's CPU provider computes float16 tensors in float32 and does not round in between, so a graph's overflow and
rounding stay hidden. `emulated` writes the rounding out: the same graph in float32 with Cast(float16) -> Cast(float)
behind every tensor that was float16. Both graphs are then run and compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mura_batch.errors import InputError, ModelError
from mura_batch.progress import progress_bar
from mura_batch.runtime import parity
from mura_batch.runtime.gates import FP16_GATE, Parity

SELECTING = frozenset(
    {"Relu", "Concat", "MaxPool", "Identity", "Squeeze", "Reshape"}
)  # give no new values: nothing to round


def compare(half: NDArray[np.float32], full: NDArray[np.float32], threshold: float) -> Parity:
    """Probabilities [N] of the FP16 graph against float32."""
    return parity.compare(full, half, threshold, FP16_GATE)


def joined(sets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Parities of several sets of pictures, each as a dictionary of its fields, as one of them all."""
    n = sum(one["n"] for one in sets.values())
    return {
        "max_abs": max(one["max_abs"] for one in sets.values()),
        "mean_abs": sum(one["n"] * one["mean_abs"] for one in sets.values()) / n,
        "flips": sum(one["flips"] for one in sets.values()),
        "n": n,
        "finite": all(one["finite"] for one in sets.values()),
    }


def require_parity(measured: Parity, what: str) -> None:
    """Raises ModelError that names the gate missed; returns nothing otherwise."""
    if not measured.finite:
        raise ModelError(f"{what}: half precision overflows: train with more weight decay, or export another epoch")
    for name, value, gate in (
        ("max |dp|", measured.max_abs, FP16_GATE.max_abs),
        ("mean |dp|", measured.mean_abs, FP16_GATE.mean_abs),
        ("decision flips", measured.flips, 0),
    ):
        if value > gate:
            raise ModelError(
                f"{what}: {name} of half precision is {value:.2g}, the gate is {gate:g}: train with more weight decay, "
                "or export another epoch"
            )


def emulated(onnx_bytes: bytes) -> bytes:
    """The same network in float32 with each float16 rounding written out as a pair of casts."""
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(onnx_bytes))
    half = {v.name for v in model.graph.value_info if v.type.tensor_type.elem_type == TensorProto.FLOAT16}
    for constant in model.graph.initializer:
        if constant.data_type == TensorProto.FLOAT16:
            constant.CopyFrom(
                numpy_helper.from_array(numpy_helper.to_array(constant).astype(np.float32), constant.name)
            )
    nodes = [new for node in model.graph.node for new in _rounded(node, half)]
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _rounded(node: onnx.NodeProto, half: set[str]) -> Iterator[onnx.NodeProto]:
    """The node in float32, and behind it the two casts where its output was float16."""
    if node.op_type == "Cast" and node.output[0] in half:
        node.attribute[0].i = TensorProto.FLOAT
    if node.output[0] not in half or node.op_type in SELECTING:
        yield node
        return
    name = node.output[0]
    node.output[0] = f"{name}/exact"
    yield node
    yield helper.make_node("Cast", [f"{name}/exact"], [f"{name}/half"], to=TensorProto.FLOAT16)
    yield helper.make_node("Cast", [f"{name}/half"], [name], to=TensorProto.FLOAT)


def run_onnx(
    onnx_bytes: bytes, images: NDArray[np.uint8], batch: int = 16, threads: int = 0
) -> dict[str, NDArray[np.float32]]:
    """images: [N, S, S] uint8. Outputs by name, from ONNX Runtime with every graph optimisation off: an optimiser that
    removed a pair of casts would remove the rounding that is being measured."""
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError("ONNX Runtime is needed for the parity check; install it: pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(onnx_bytes, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    parts = []
    with progress_bar("scoring in half precision", len(images)) as advance:
        for i in range(0, len(images), batch):
            parts.append(session.run(names, {"images": images[i : i + batch, None]}))
            advance(min(i + batch, len(images)), "")
    return {name: np.concatenate([part[k] for part in parts]) for k, name in enumerate(names)}
