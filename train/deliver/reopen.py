"""`reopen`: a model folder -> a checkpoint that training can go on from, where the original one no longer exists.

A folder holds the network for scoring: batch norms folded, their statistics gone. Scoring does not miss them; training
normalises by the statistics of each batch and would start from another network. So they are measured again on pictures
of the training split. Its probabilities stay the same up to the half precision of its weights.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from mura_batch.errors import ModelError
from mura_batch.model_card import Model
from train.models.densenet import MuraNet
from train.models.scoring_graph import scale_and_shift
from train.models.weight_file import write_checkpoint

ENOUGH = 256  # pictures: the least frequent channel is then seen at 25,000 positions of the last map at 320 px
BATCH = 16
Weights = dict[str, Tensor]


def reopen(model: Model, pictures: NDArray[np.uint8], path: Path) -> None:
    """Writes a checkpoint. pictures: [N, S, S] at the model's input size. Raises ModelError on a network that
    `export` did not make of one checkpoint."""
    net = scoring_network(model)
    measure_statistics(net, pictures)
    training = model.card.training
    values = {
        "ema": net.state_dict(),
        "epoch": int(training.get("epochs") or 1) - 1,
        "recipe": json.dumps(training.get("recipe", {}), sort_keys=True),
        "command": f"{training.get('command', 'not recorded')}; reopened from {model.card.name} {model.card.version}",
    }
    write_checkpoint(values, path)


def scoring_network(model: Model) -> MuraNet:
    """The network of a model folder in eval mode: its batch norms scale and shift by what was folded, and have no
    statistics of their own yet (mean 0, variance 1)."""
    graph = onnx.load(model.onnx).graph
    weights = {w.name: torch.from_numpy(numpy_helper.to_array(w).astype(np.float32)) for w in graph.initializer}
    net = MuraNet()
    try:
        with torch.no_grad():
            _unfold(net.features, weights)
            net.classifier.weight.copy_(weights["weight"].flatten(1))
            net.classifier.bias.copy_(weights["bias"])
    except (KeyError, RuntimeError) as error:
        raise ModelError(
            f"{model.onnx} is not one DenseNet169 as `export` writes it (an ensemble is several): {error}"
        ) from error
    return net.eval()


def _unfold(features: nn.Module, weights: Weights) -> None:
    """The inverse of graph.fold_batch_norms. A folded norm left its scale in the convolution before it, its shift in
    that convolution's bias."""
    for name, module in features.named_modules():
        if isinstance(module, nn.Conv2d):
            module.weight.copy_(weights[f"features.{name}.weight"])
        elif isinstance(module, nn.BatchNorm2d):
            scale, folded_into = weights.get(f"features.{name}.weight"), _convolution_before(name)
            shift = weights[f"features.{name}.bias" if scale is not None else f"features.{folded_into}.bias"]
            module.weight.copy_(scale if scale is not None else torch.ones_like(shift))
            module.bias.copy_(shift)
            module.running_mean.zero_()  # type: ignore[union-attr]
            module.running_var.fill_(1.0 - module.eps)  # type: ignore[union-attr]  # so that its square root is 1


def _convolution_before(norm: str) -> str:
    return norm.replace("norm0", "conv0").replace("norm2", "conv1")


@torch.no_grad()
def measure_statistics(net: MuraNet, pictures: NDArray[np.uint8]) -> None:
    """Gives each batch norm the mean and variance of what reaches it over pictures [N, S, S], and the scale and shift
    with which it does exactly what it did."""
    norms = [module for module in net.features.modules() if isinstance(module, nn.BatchNorm2d)]
    moments = {norm: _Moments() for norm in norms}
    hooks = [norm.register_forward_pre_hook(lambda m, x: moments[m].add(x[0])) for norm in norms]
    net.eval()
    for images in _batches(pictures):
        net(images)
    for hook in hooks:
        hook.remove()
    for norm in norms:
        _restate(norm, *moments[norm].mean_and_variance())


def _batches(pictures: NDArray[np.uint8]) -> Iterator[Tensor]:
    for i in range(0, len(pictures), BATCH):
        yield torch.from_numpy(np.array(pictures[i : i + BATCH]))[:, None]  # [N, 1, S, S]


class _Moments:
    """Sums over pictures and positions, in float64."""

    def __init__(self) -> None:
        self._count, self._sum, self._squares = 0, torch.zeros(()), torch.zeros(())

    def add(self, x: Tensor) -> None:
        """x: [N, C, H, W]."""
        x = x.double()
        self._count += x.numel() // x.shape[1]
        self._sum = self._sum + x.sum(dim=(0, 2, 3))
        self._squares = self._squares + x.square().sum(dim=(0, 2, 3))

    def mean_and_variance(self) -> tuple[Tensor, Tensor]:
        mean = self._sum / self._count
        return mean, (self._squares / self._count - mean.square()).clamp(min=0)


def _restate(norm: Any, mean: Tensor, variance: Tensor) -> None:
    scale, shift = scale_and_shift(norm)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_(scale * torch.sqrt(variance + norm.eps))
    norm.bias.copy_(shift + scale * mean)
