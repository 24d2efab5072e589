"""DenseNet169 with one logit, whose classifier can be moved before the pooling to give the class activation map."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torchvision
from torch import Tensor, nn

from train.models import efficientnet_lite

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # torchvision's documented statistics of ImageNet
IMAGENET_STD = (0.229, 0.224, 0.225)


def to_three_channels(images: Tensor) -> Tensor:
    """[N, 1, H, W] uint8 model input -> [N, 3, H, W] float32, ImageNet-normalised as the pretrained weights expect."""
    mean = torch.tensor(IMAGENET_MEAN, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=images.device).view(1, 3, 1, 1)
    return (images.float() / 255.0 - mean) / std


SHIPPED = "densenet169"
ARCHS = (SHIPPED, *efficientnet_lite.NAMES)


class Outputs(NamedTuple):
    """Of a batch of N pictures, float32. logit: [N]; aux: [N, A], auxiliary logits; maps: [N, C, H/32, W/32], the
    answer to a teacher's feature maps. A and C are 0 in a network without these heads."""

    logit: Tensor
    aux: Tensor
    maps: Tensor


class MuraNet(nn.Module):
    """A body, average pooling, one linear unit (the abnormality logit) and perhaps training-only heads.

    arch: one of ARCHS; DenseNet169 is the one that is shipped, the others can only teach it. aux: number of auxiliary
    outputs that share the body while training (body part, kind of abnormality) and are dropped at export: they teach
    the body anatomy where labels are few. taught: channels of the teacher's feature maps that a linear unit at each
    position imitates while training; dropped at export, too.
    """

    def __init__(self, aux: int = 0, arch: str = SHIPPED, taught: int = 0) -> None:
        super().__init__()
        self.arch = arch
        self.features, width = _body(arch)
        self.classifier = nn.Linear(width, 1)
        self.aux = nn.Linear(width, aux) if aux else None
        self.taught = nn.Conv2d(width, taught, 1) if taught else None
        self.dropout = nn.Dropout(0.0)

    def body(self, images: Tensor) -> Tensor:
        """[N, 1, H, W] uint8 -> last feature maps after the final batch norm and ReLU, [N, C, H/32, W/32], C 1664 of
        DenseNet169. Their memory format is that of the weights: the first convolution sees to it."""
        return torch.relu(self.features(to_three_channels(images)))

    def forward(self, images: Tensor) -> Outputs:
        return self.heads(self.body(images))

    def heads(self, maps: Tensor) -> Outputs:
        """maps: [N, C, H/32, W/32], of `body`."""
        maps = maps.float()
        pooled = maps.mean(dim=(2, 3))
        with torch.autocast(maps.device.type, enabled=False):
            logit = self.classifier(self.dropout(pooled)).squeeze(1)
            aux = self.aux(pooled) if self.aux is not None else pooled.new_zeros((len(pooled), 0))
            taught = self.taught(maps) if self.taught is not None else maps.new_zeros((len(maps), 0, *maps.shape[2:]))
        return Outputs(logit, aux, taught)


def _body(arch: str) -> tuple[nn.Module, int]:
    """(feature maps of a picture, how many). Raises InputError where a teacher's package is missing."""
    if arch != SHIPPED:
        lite = efficientnet_lite.LiteBody(arch)
        return lite, lite.width
    densenet = torchvision.models.densenet169(weights=None)
    return densenet.features, densenet.classifier.in_features
