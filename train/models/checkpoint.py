"""What checkpoints and weight files hold: a trained network, or weights to start from."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from mura_batch.errors import ModelError
from train.models.densenet import MuraNet
from train.models.weight_file import read_checkpoint

State = dict[str, Tensor]

# torchvision's files of 2017 name a dense layer's parts 'norm.1', 'conv.2'; its module names them 'norm1', 'conv2'
PREFIX = re.compile(r"^(?:module\.|model\.|_orig_mod\.)+")  # of data-parallel training, Lightning and torch.compile
OLD_KEY = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.")


def trained_network(values: Mapping[str, Any], path: Path) -> MuraNet:
    """The network of a checkpoint of ours, in eval mode: its averaged weights where it has them."""
    state = values.get("ema") or values.get("model")
    if not isinstance(state, dict):
        raise ModelError(f"{path} is not a checkpoint of python -m train: it has neither 'ema' nor 'model'")
    arch = recipe_of(values).get("model", {}).get("arch", "densenet169")
    heads = heads_of(state)
    net = MuraNet(heads.aux, arch, heads.taught)
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(f"{path} does not fit {arch}: {str(error).splitlines()[-1].strip()}") from error
    return net.eval()


class Heads(NamedTuple):
    """Outputs of the heads that only training has, as MuraNet takes them."""

    aux: int
    taught: list[int]


def heads_of(state: Mapping[str, Tensor]) -> Heads:
    taught = [len(state[key]) for depth in range(4) if (key := f"taught.{depth}.weight") in state]
    return Heads(len(state["aux.weight"]) if "aux.weight" in state else 0, taught)


def recipe_of(values: Mapping[str, Any]) -> dict[str, Any]:
    recipe = json.loads(values.get("recipe", "{}"))
    if not isinstance(recipe, dict):
        raise ModelError("the checkpoint's recipe is not a table")
    return recipe


def initial_state(path: Path) -> State:
    """Weights to start from: a state dict of torchvision's or timm's DenseNet (old and new key style, 'module.' and
    'model.' prefixes allowed), or a checkpoint of ours. Keys as MuraNet's."""
    values = read_checkpoint(path)
    state = values.get("ema") or values.get("model") or values.get("state_dict") or values
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{path} is neither a state dict nor a checkpoint of python -m train")
    return {OLD_KEY.sub(r"\1\2.", PREFIX.sub("", key)): value for key, value in state.items()}


def initialise(net: MuraNet, path: Path) -> float:
    """Loads every weight whose name and shape fit (DenseNet121's first blocks, not ImageNet's 1000 classes). Returns
    the share of the body's weights that were loaded, 0 to 1. Raises ModelError where none fits."""
    state, own = initial_state(path), net.state_dict()
    fitting = {key: v for key, v in state.items() if key in own and v.shape == own[key].shape}
    body = [key for key in own if key.startswith("features.")]
    share: float = sum(own[key].numel() for key in body if key in fitting) / sum(own[key].numel() for key in body)
    if not share:
        raise ModelError(f"{path} does not fit {net.arch}: none of its {len(state)} weights has the name and the shape")
    net.load_state_dict(fitting, strict=False)
    return share
