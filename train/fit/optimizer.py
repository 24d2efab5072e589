"""Which weights are trained, at which learning rate, and their running average."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from train.fit.recipe import OptimizerPart, Stage
from train.models.densenet import MuraNet

# The layer groups of fastai 1 for DenseNet: before the second transition, from it on, the head.
HEAD = 2
Moments = dict[str, dict[str, Tensor]]
SECOND_GROUP = ("transition2", "denseblock3", "transition3", "denseblock4", "norm5")


def freeze(net: MuraNet, frozen: bool) -> None:
    """Frozen: the body's convolutions do not change; its batch norms and the head are trained, as fastai freezes."""
    norms = {id(p) for m in net.features.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
    for parameter in net.features.parameters():
        parameter.requires_grad_(not frozen or id(parameter) in norms)


def layer_group(name: str) -> int:
    """0, 1 or 2 of a parameter's name, from the picture to the head."""
    if not name.startswith("features."):
        return HEAD
    return 1 if name.split(".")[1] in SECOND_GROUP else 0


def make_optimizer(net: MuraNet, part: OptimizerPart, stage: Stage) -> Optimizer:
    """Parameter groups by layer group and by weight decay; each carries `base_lr`, which the schedule scales."""
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            # biases and batch norms are 1-D; decaying them pulls activations to nothing and regularises nothing
            key = (layer_group(name) if stage.body_lr or stage.head_lr else HEAD, part.decay_all or parameter.ndim > 1)
            groups.setdefault(key, []).append(parameter)
    rows = [
        {
            "params": parameters,
            "weight_decay": part.weight_decay if decayed else 0.0,
            "base_lr": group_rate(stage, number),
        }
        for (number, decayed), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]
    kind = torch.optim.AdamW if part.name == "adamw" else torch.optim.Adam
    return kind(rows, lr=stage.lr, betas=part.betas)


def moments_of(net: MuraNet, optimizer: Optimizer) -> Moments:
    """Adam's running means and step counts, by the names of the parameters."""
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    return {names[id(parameter)]: dict(state) for parameter, state in optimizer.state.items()}


def set_moments(net: MuraNet, optimizer: Optimizer, moments: Moments) -> None:
    """The inverse, on an optimizer that trains the same parameters."""
    parameters = dict(net.named_parameters())
    for name, state in moments.items():
        device = parameters[name].device
        # the step count stays where Adam keeps it, on the CPU
        optimizer.state[parameters[name]] = {
            key: value.clone() if value.ndim == 0 else value.to(device, copy=True) for key, value in state.items()
        }


def group_rate(stage: Stage, group: int) -> float:
    """Rates rise geometrically from body_lr over three groups to lr: fastai's even_mults of slice(body_lr, lr)."""
    if group == HEAD and stage.head_lr:
        return stage.head_lr
    return stage.lr if not stage.body_lr else float(stage.body_lr * (stage.lr / stage.body_lr) ** (group / HEAD))


def set_rates(optimizer: Optimizer, factor: float, first_beta: float | None) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
        if first_beta is not None:
            group["betas"] = (first_beta, group["betas"][1])


class Average:
    """Exponential moving average of weights and batch-norm statistics, in float32. decay 0: none is kept."""

    def __init__(self, net: MuraNet, decay: float) -> None:
        """net: whose tensors are averaged from now on; its weights may change in place, its tensors must stay."""
        self.decay = decay
        live = net.state_dict() if decay else {}
        self.state: dict[str, Tensor] = {k: v.detach().clone().float() for k, v in live.items()}
        self._live = [value for value in live.values() if value.dtype.is_floating_point]
        self._averages = [self.state[key] for key, value in live.items() if value.dtype.is_floating_point]
        self._counters = {key: value for key, value in live.items() if not value.dtype.is_floating_point}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """step: of the stage, from 0, as a stage begins with its own average. The decay is warmed up as
        min(decay, (1 + step) / (10 + step)). One fused call: DenseNet169 has 846 tensors."""
        if not self.decay:
            return
        decay = min(self.decay, (step + 1) / (step + 10))
        torch._foreach_lerp_(self._averages, self._live, 1 - decay)
        for key, value in self._counters.items():
            self.state[key].copy_(value)

    def load(self, state: Mapping[str, Tensor]) -> None:
        for key, own in self.state.items():
            own.copy_(state[key])


def decayed_names(net: MuraNet, optimizer: Optimizer) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name of a parameter, its group) for every parameter that the optimiser moves."""
    names = {id(p): n for n, p in net.named_parameters()}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            yield names[id(parameter)], group
