"""DenseNet169 with one logit, whose classifier can be moved before the pooling to give the class activation map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

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
WIDTHS = (256, 512, 1280, 1664)  # of its feature maps at strides 4, 8, 16 and 32
ARCHS = (SHIPPED, *efficientnet_lite.NAMES)


class Outputs(NamedTuple):
    """Of a batch of N pictures, float32. logit: [N]; aux: [N, A], auxiliary logits, A 0 in a network without them;
    maps: the answers to a teacher's feature maps at each depth, [N, C, H/s, W/s] of stride s; none without a head."""

    logit: Tensor
    aux: Tensor
    maps: tuple[Tensor, ...]


class MuraNet(nn.Module):
    """A body, average pooling, one linear unit (the abnormality logit) and perhaps training-only heads.

    arch: one of ARCHS; DenseNet169 is the one that is shipped, the others can only teach it. aux: number of auxiliary
    outputs that share the body while training (body part, kind of abnormality) and are dropped at export: they teach
    the body anatomy where labels are few. taught: channels of the teacher's feature maps at each depth, which a linear
    unit at each position imitates while training; dropped at export, too.
    """

    def __init__(self, aux: int = 0, arch: str = SHIPPED, taught: Sequence[int] = ()) -> None:
        super().__init__()
        self.arch = arch
        self.features = _body(arch)
        *_, width = self.widths
        self.classifier = nn.Linear(width, 1)
        self.aux = nn.Linear(width, aux) if aux else None
        pairs = zip(self.widths, taught, strict=True) if taught else ()
        self.taught = nn.ModuleList(nn.Conv2d(own, channels, 1) for own, channels in pairs)
        self.dropout = nn.Dropout(0.0)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the feature maps at each depth."""
        return WIDTHS if self.arch == SHIPPED else cast(efficientnet_lite.LiteBody, self.features).widths

    def body(self, images: Tensor) -> Tensor:
        """[N, 1, H, W] uint8 -> last feature maps after the final batch norm and ReLU, [N, C, H/32, W/32], C 1664 of
        DenseNet169. Their memory format is that of the weights: the first convolution sees to it."""
        return self.depths(images)[-1]

    def depths(self, images: Tensor) -> list[Tensor]:
        """As `body`, the last feature maps of each stride: 4, 8, 16, 32."""
        images = to_three_channels(images)
        if self.arch != SHIPPED:
            return cast(efficientnet_lite.LiteBody, self.features).depths(images)
        maps = []
        for name, module in self.features.named_children():
            images = module(images)
            if name.startswith("denseblock"):
                maps.append(images)
        return [*maps[:-1], torch.relu(images)]

    def forward(self, images: Tensor) -> Outputs:
        return self.heads(self.depths(images))

    def heads(self, depths: Sequence[Tensor]) -> Outputs:
        """depths: of `depths`."""
        maps = [m.float() for m in (depths if self.taught else depths[-1:])]
        pooled = maps[-1].mean(dim=(2, 3))
        with torch.autocast(pooled.device.type, enabled=False):
            logit = self.classifier(self.dropout(pooled)).squeeze(1)
            aux = self.aux(pooled) if self.aux is not None else pooled.new_zeros((len(pooled), 0))
            taught = tuple(unit(m) for unit, m in zip(self.taught, maps, strict=True)) if self.taught else ()
        return Outputs(logit, aux, taught)


def _body(arch: str) -> nn.Module:
    """The feature maps of a picture. Raises InputError where a teacher's package is missing."""
    if arch != SHIPPED:
        return efficientnet_lite.LiteBody(arch)
    features: nn.Module = torchvision.models.densenet169(weights=None).features
    return features
