"""`average`: the mean of the weights of networks that were trained from one another, as one network.

Such a mean often does better than each of them where pictures are unlike those trained on (Wortsman et al. 2022,
arXiv:2109.01903 and arXiv:2203.05482). Statistics of batch norms are not averaged: what reaches a norm is another
thing in the new network, so they are measured again, on training pictures.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.swa_utils import update_bn

from mura_batch.errors import InputError, ModelError
from train.deliver.reopen import batches
from train.models.densenet import MuraNet
from train.models.members import Member
from train.models.weight_file import write_checkpoint

ENOUGH = 1024  # pictures: statistics are a mean over batches, each of which differs a little


def average(members: Sequence[Member], pictures: NDArray[np.uint8], path: Path) -> None:
    """Writes a checkpoint without training-only heads. pictures: [N, S, S] of the training split, at the size that it
    is to be scored at. The recipe that it records is the last member's. Raises InputError on fewer than two members,
    ModelError on networks of other architectures."""
    net = mean_network(members)
    update_bn(batches(pictures), net)
    last = members[-1].values
    commands = (str(m.values.get("command", "not recorded")) for m in members)
    values = {
        "ema": net.state_dict(),
        "epoch": last.get("epoch", 0),
        "recipe": json.dumps(members[-1].recipe, sort_keys=True),
        "size": pictures.shape[-1],
        "command": "mean of the weights of " + " and of ".join(f"[{command}]" for command in commands),
    }
    write_checkpoint(values, path)


def mean_network(members: Sequence[Member]) -> MuraNet:
    """Each weight is the mean of the members'; statistics of batch norms are not yet measured for it."""
    if len(members) < 2:
        raise InputError("an average is of two checkpoints or more")
    archs = {m.net.arch for m in members}
    if len(archs) > 1:
        raise ModelError(f"the checkpoints are of {' and '.join(sorted(archs))}: their weights have no mean")
    net = MuraNet(arch=archs.pop())
    states = [m.net.state_dict() for m in members]
    net.load_state_dict({key: _mean([state[key] for state in states]) for key in net.state_dict()})
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _mean(weights: Sequence[Tensor]) -> Tensor:
    return torch.stack([w.double() for w in weights]).mean(dim=0).to(weights[0].dtype)
