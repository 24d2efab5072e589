"""Pictures through a network in torch, in float32: what calibration, figures and parity are measured against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from train.model import MuraNet

BATCH = 32


def picture_logits(nets: Sequence[MuraNet], inputs: NDArray[np.uint8], device: str = "cpu") -> NDArray[np.float64]:
    """[N, S, S] uint8 -> [K, N] logits, one row a network."""
    return np.stack([_logits(net.to(device).eval(), inputs, device) for net in nets])


@torch.inference_mode()
def _logits(net: MuraNet, inputs: NDArray[np.uint8], device: str) -> NDArray[np.float64]:
    net = net.to(memory_format=torch.channels_last)
    parts = []
    for i in range(0, len(inputs), BATCH):
        batch = torch.from_numpy(np.array(inputs[i : i + BATCH]))[:, None].to(device)
        parts.append(net(batch)[0].double().cpu().numpy())
    return np.concatenate(parts)
