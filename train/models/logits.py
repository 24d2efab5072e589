"""Pictures through a network in torch, in float32: what calibration, figures and parity are measured against."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from mura_batch.progress import progress_bar
from train.models.densenet import MuraNet

BATCH = 32
CPU = torch.device("cpu")


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))  # never overflows


@contextmanager
def strict_float32() -> Iterator[None]:
    """float32 means float32: torch lets cuDNN convolve in TF32, with 10 bits of fraction instead of 23, by default."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def picture_logits(
    nets: Sequence[MuraNet], inputs: NDArray[np.uint8], device: torch.device = CPU
) -> NDArray[np.float64]:
    """[N, S, S] uint8 -> [K, N] logits, one row a network."""
    with strict_float32():
        return np.stack([_logits(net.to(device).eval(), inputs, device) for net in nets])


@torch.inference_mode()
def _logits(net: MuraNet, inputs: NDArray[np.uint8], device: torch.device) -> NDArray[np.float64]:
    net = net.to(memory_format=torch.channels_last)
    parts = []
    with progress_bar("scoring in float32", len(inputs)) as advance:
        for i in range(0, len(inputs), BATCH):
            batch = torch.from_numpy(np.array(inputs[i : i + BATCH]))[:, None].to(device)
            parts.append(net(batch)[0].double().cpu().numpy())
            advance(i + len(batch), "")
    return np.concatenate(parts)
