"""The network as a model folder holds it: the contract of docs/design.md in one torch module, and its way to ONNX.

uint8 [N, 1, S, S] in; normalisation inside; body in half precision; pooling, linear unit and sigmoid in float32.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, cast

import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from train.models.densenet import SHIPPED, MuraNet, to_three_channels

OUTPUTS = ("probability", "cam", "features")
OPSET = 18  # the first with ReduceMean's axes as an input, which is what the exporter writes without conversion


class ScoringGraph(nn.Module):
    """One network -> (probability [N], cam [N, h, w] in logits, features [N, 1664]), all float32.

    temperature, bias: probability = sigmoid(logit / temperature + bias). half: the body's precision is float16 instead
    of float32.
    """

    def __init__(self, net: MuraNet, temperature: float = 1.0, bias: float = 0.0, half: bool = False) -> None:
        super().__init__()
        self.dtype = torch.float16 if half else torch.float32
        body = fold_batch_norms(net.features) if net.arch == SHIPPED else copy.deepcopy(net.features).float()
        self.features = body.to(self.dtype)
        # [1, 1664, 1, 1]: the linear unit as a 1x1 convolution before the pooling, so that logit = mean(cam) + bias
        self.weight = nn.Parameter(net.classifier.weight.detach().float()[:, :, None, None].clone())
        self.bias = nn.Parameter(net.classifier.bias.detach().float().clone())
        self.inverse_temperature = 1.0 / temperature
        self.calibration_bias = bias

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps = torch.relu(self.features(to_three_channels(images).to(self.dtype))).float()
        cam = functional.conv2d(maps, self.weight).squeeze(1)
        logit = cam.mean(dim=(1, 2)) + self.bias
        return torch.sigmoid(logit * self.inverse_temperature + self.calibration_bias), cam, maps.mean(dim=(2, 3))


class EnsembleGraph(nn.Module):
    """Several networks in one graph: probabilities, maps and features averaged."""

    def __init__(self, members: Sequence[ScoringGraph]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        outputs = [member(images) for member in self.members]
        probability, cam, features = (torch.stack(list(parts)).mean(dim=0) for parts in zip(*outputs, strict=True))
        return probability, cam, features


def scoring_graph(
    nets: Sequence[MuraNet], temperature: float = 1.0, bias: float = 0.0, half: bool = False
) -> nn.Module:
    """The graph of one network, or of the mean of several, in eval mode. An ensemble has no single logit, so its
    members share one temperature and bias."""
    members = [ScoringGraph(net, temperature, bias, half) for net in nets]
    return (members[0] if len(members) == 1 else EnsembleGraph(members)).eval().requires_grad_(False)


def fold_batch_norms(features: nn.Module) -> nn.Module:
    """A copy of DenseNet's features in which no running variance is left to round to half precision.

    The 83 batch norms that follow a convolution disappear into it. The other 86 stand before one, behind a
    concatenation: their statistics become scale and shift (mean 0, variance 1). Computed in float64.
    """
    folded = copy.deepcopy(features).float().eval()
    stem = cast(nn.Sequential, folded)
    _fold_into(stem.conv0, stem.norm0)
    stem.norm0 = nn.Identity()
    for block in folded.modules():
        if hasattr(block, "norm2") and hasattr(block, "conv1"):
            _fold_into(block.conv1, block.norm2)
            block.norm2 = nn.Identity()
    for module in folded.modules():
        if isinstance(module, nn.BatchNorm2d):
            _standardise(module)
    return folded


def scale_and_shift(norm: Any) -> tuple[Tensor, Tensor]:
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    return scale, norm.bias.double() - norm.running_mean.double() * scale


@torch.no_grad()
def _fold_into(conv: Any, norm: Any) -> None:
    scale, shift = scale_and_shift(norm)
    conv.weight.copy_((conv.weight.double() * scale[:, None, None, None]).float())
    conv.bias = nn.Parameter(shift.float())  # DenseNet's convolutions have no bias of their own


@torch.no_grad()
def _standardise(norm: nn.BatchNorm2d) -> None:
    scale, shift = scale_and_shift(norm)
    norm.weight.copy_(scale.float())
    norm.bias.copy_(shift.float())
    norm.running_mean.zero_()  # type: ignore[union-attr]
    norm.running_var.fill_(1.0)  # type: ignore[union-attr]
    norm.eps = 0.0


def to_onnx(graph: nn.Module, size: int) -> bytes:
    """ONNX bytes: opset 18, batch dynamic, weights inside, checked, without the exporter's source locations."""
    example = torch.zeros((2, 1, size, size), dtype=torch.uint8)  # 2: the exporter would specialise a batch of 1
    program = torch.onnx.export(
        graph,
        (example,),
        dynamo=True,
        opset_version=OPSET,
        external_data=False,
        input_names=["images"],
        output_names=list(OUTPUTS),
        dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1, max=4096)}},
        verbose=False,
    )
    model = cast(Any, program).model_proto
    _strip(model)
    onnx.checker.check_model(model, full_check=True)
    buffer = BytesIO()
    onnx.save(model, buffer)
    return buffer.getvalue()


def with_metadata(onnx_bytes: bytes, metadata: Mapping[str, str]) -> bytes:
    """The same network that names itself: metadata as ONNX metadata_props, which viewers show."""
    model = onnx.load_from_string(onnx_bytes)
    onnx.helper.set_model_props(model, dict(metadata))
    return bytes(model.SerializeToString())


def _strip(model: onnx.ModelProto) -> None:
    """Removes stack traces and paths of the exporting machine: the bytes depend on the network alone."""
    model.doc_string = ""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for group in (
        model.graph.node,
        model.graph.value_info,
        model.graph.input,
        model.graph.output,
        model.graph.initializer,
    ):
        for item in group:
            item.doc_string = ""
            del item.metadata_props[:]
