"""A teacher: trained networks whose logit and feature maps of each view are targets of distillation."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from mura_batch.errors import InputError
from train.fit.validate import autocast
from train.models.members import input_spec, read_member


class Teacher:
    """Answers in evaluation mode and without gradients. More members: their mean probability, all their maps."""

    def __init__(self, checkpoints: Sequence[Path], device: torch.device, precision: str) -> None:
        """checkpoints: of `fit`, at least one. Raises InputError or ModelError on one that cannot be read."""
        members = [read_member(path) for path in checkpoints]
        self.input = input_spec(members, None)
        self.nets = [m.net.to(device).to(memory_format=torch.channels_last).requires_grad_(False) for m in members]
        self.device, self.precision = device, precision

    @torch.no_grad()
    def answers(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """images: [N, 1, S, S] uint8, scaled to the size that the teacher was trained at. Returns (logits [N], feature
        maps [N, C, h, w] at each depth), float32."""
        if images.shape[-1] != (size := self.input.size):
            images = functional.interpolate(
                images.float(), size=(size, size), mode="bilinear", antialias=True, align_corners=False
            )
        with autocast(self.precision, self.device):
            depths = [net.depths(images) for net in self.nets]
            logits = [net.heads(of_net).logit for net, of_net in zip(self.nets, depths, strict=True)]
        probability = torch.sigmoid(torch.stack(logits)).mean(dim=0)
        maps = [torch.cat([m.float() for m in of_depth], dim=1) for of_depth in zip(*depths, strict=True)]
        return torch.logit(probability, eps=1e-6), maps


def map_channels(checkpoints: Sequence[Path]) -> list[int]:
    """Of the feature maps that a teacher of these gives, at each depth."""
    return [sum(widths) for widths in zip(*(read_member(path).net.widths for path in checkpoints), strict=True)]


def teacher_hash(checkpoints: Sequence[Path]) -> str:
    """Of the files' bytes, in any order; '' where there is none. Raises InputError where one cannot be read."""
    try:
        digests = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in checkpoints)
    except OSError as error:
        raise InputError(f"{error.filename}, of --teacher, cannot be read: {error.strerror}") from error
    return hashlib.sha256("".join(digests).encode()).hexdigest() if digests else ""
