"""`quantize`: what the CPU runner needs to score in 8-bit integers, and the proof on real pictures that it may.

Measures on training pictures how large each channel of each convolution's input gets, scores the validation pictures in
int8 and in float32 with the runner's network, holds the difference to the runner's gate, and writes `int8.npz` and the
figures into the model folder. The network stays as it is: a runner rounds when it loads it
(mura_batch.runtime.openvino.int8).
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mura_batch.agreement.curves import roc_auc_difference
from mura_batch.atomic_files import edited_folder
from mura_batch.errors import ModelError
from mura_batch.model_card import CARD_NAME, INT8_NAME, Model, ModelCard, load_model, write_card
from mura_batch.runtime.gates import CPU_GATE
from mura_batch.runtime.openvino.precision import measured_parity
from mura_batch.runtime.openvino.processor import EMULATED_INT8, Processor
from mura_batch.runtime.parity import compare_outputs
from mura_batch.runtime.runner import RunnerOptions
from train.data.examples import VAL, Dataset, studies_of
from train.models.float16_rounding import emulated, run_onnx

ENOUGH = 256  # training pictures; 192 and 256 gave the same scores to the third decimal
# Convolutions that are not quantized. In the reference model each of these alone moved the logit by 0.002 to 0.005
# (root mean square over 120 pictures), any other by less. With all quantized it is 0.010, without these 0.007; 0.005 in
# bf16. They work on large maps of few channels, where integers gain least: some 6 % of the speed.
SENSITIVE = (
    "denseblock1.denselayer1.conv1",
    "denseblock1.denselayer2.conv1",
    "denseblock1.denselayer3.conv1",
    "transition1.conv",
    "transition2.conv",
)

Pictures = NDArray[np.uint8]  # [N, S, S]


def quantize(model: Model, training: Pictures, dataset: Dataset, inputs: Pictures) -> ModelCard:
    """training: pictures to measure on. inputs: dataset's validation pictures, at the model's input size. Replaces the
    folder whole or not at all; returns its card. Raises ModelError when int8 misses a gate."""
    ranges = channel_ranges(model.onnx.read_bytes(), training)
    with edited_folder(model.folder, without=(CARD_NAME, INT8_NAME)) as new:
        np.savez_compressed(new / INT8_NAME, allow_pickle=False, **ranges)
        files = tuple({**model.card.hashes, INT8_NAME: ""})
        write_card(model.card, new, files)
        figures = {"training_pictures": len(training), **_parity(load_model(new), dataset, inputs)}
        return write_card(replace(model.card, parity={**model.card.parity, "int8": figures}), new, files)


def channel_ranges(onnx_bytes: bytes, pictures: Pictures) -> dict[str, NDArray[np.float32]]:
    """Name of the input of each convolution to be quantized -> [C] the largest value of each channel over pictures: of
    those whose input a ReLU gives and that are not SENSITIVE."""
    graph = onnx.load_from_string(emulated(onnx_bytes))
    rectified = {node.output[0] for node in graph.graph.node if node.op_type == "Relu"}
    names = [
        node.input[0]
        for node in graph.graph.node
        if node.op_type == "Conv" and node.input[0] in rectified and not any(s in node.input[1] for s in SENSITIVE)
    ]
    if not names:
        raise ModelError("the network has no convolution behind a ReLU: there is nothing to quantize")
    graph.graph.initializer.append(numpy_helper.from_array(np.array([2, 3]), "plane of a channel"))
    for name in names:
        largest = f"{name}/largest"
        graph.graph.node.append(helper.make_node("ReduceMax", [name, "plane of a channel"], [largest], keepdims=0))
        graph.graph.output.append(helper.make_tensor_value_info(largest, TensorProto.FLOAT, None))
    outputs = run_onnx(graph.SerializeToString(), pictures)
    return {name: outputs[f"{name}/largest"].max(axis=0) for name in names}


def _parity(model: Model, dataset: Dataset, inputs: Pictures) -> dict[str, Any]:
    """Of int8 against float32 on the validation pictures; the reference inputs are held to the gate, too. Where the
    processor has no instructions for int8, its rounding is emulated."""
    options = RunnerOptions(device="cpu")
    processor = Processor(model, options)
    precision = "int8" if processor.openvino.has_int8 else EMULATED_INT8
    exact, rounded = (processor.answers(name, inputs[:, None]) for name in ("float32", precision))
    parity = compare_outputs(exact.probability, rounded, model.card.threshold, CPU_GATE)
    on_reference = measured_parity(processor, model, options, precision)
    for pictures, measured in ((VAL, parity), ("the reference inputs", on_reference)):
        if failures := measured.failures(CPU_GATE):
            raise ModelError(
                f"int8 is past the gate on {pictures}: {'; '.join(failures)}; the model folder stays as it was"
            )
    apart = np.abs(rounded.probability.astype(np.float64) - exact.probability)
    studies = studies_of(dataset.split(VAL))
    scores = [studies.mean(outputs.probability.astype(np.float64)) for outputs in (rounded, exact)]
    auroc = roc_auc_difference(studies.abnormal, scores[0], scores[1])
    called = [s > model.card.threshold for s in scores]
    return {
        "split": VAL,
        **asdict(parity),
        "p99_abs": float(np.percentile(apart, 99)),
        "studies_called_otherwise": int((called[0] != called[1]).sum()),
        "auroc_difference": auroc.as_json(),
        "method": f"OpenVINO {precision} against OpenVINO float32",
        "gates": asdict(CPU_GATE),
    }
