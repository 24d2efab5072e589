"""DenseNet169 with one logit, whose classifier can be moved before the pooling to give the class activation map."""

from __future__ import annotations

import torch
import torchvision
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # torchvision's documented statistics of ImageNet
IMAGENET_STD = (0.229, 0.224, 0.225)


def to_three_channels(images: Tensor) -> Tensor:
    """[N, 1, H, W] uint8 model input -> [N, 3, H, W] float32, ImageNet-normalised as the pretrained weights expect."""
    mean = torch.tensor(IMAGENET_MEAN, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=images.device).view(1, 3, 1, 1)
    return (images.float() / 255.0 - mean) / std


class MuraNet(nn.Module):
    """DenseNet169 body, average pooling, one linear unit (the abnormality logit) and perhaps training-only heads.

    aux: number of auxiliary outputs that share the body while training (body part, kind of abnormality) and are
    dropped at export: they teach the body anatomy where labels are few.
    """

    def __init__(self, aux: int = 0, drop_rate: float = 0.0) -> None:
        super().__init__()
        densenet = torchvision.models.densenet169(weights=None, drop_rate=drop_rate)
        self.features = densenet.features
        width = densenet.classifier.in_features  # 1664
        self.classifier = nn.Linear(width, 1)
        self.aux = nn.Linear(width, aux) if aux else None
        self.dropout = nn.Dropout(0.0)

    def body(self, images: Tensor) -> Tensor:
        """[N, 1, H, W] uint8 -> last feature maps after the final batch norm and ReLU, [N, 1664, H/32, W/32]. Their
        memory format is that of the weights: the first convolution sees to it."""
        return torch.relu(self.features(to_three_channels(images)))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns (logit [N], auxiliary logits [N, aux] or [N, 0]), float32."""
        pooled = self.body(images).float().mean(dim=(2, 3))
        with torch.autocast(images.device.type, enabled=False):
            logit = self.classifier(self.dropout(pooled)).squeeze(1)
            extra = self.aux(pooled) if self.aux is not None else pooled.new_zeros((len(pooled), 0))
        return logit, extra
