"""Checkpoints and weight files: read with weights_only=True, written whole or not at all."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mura_batch.atomic_files import FREE_SPACE, atomic_file, make_folder
from mura_batch.errors import InputError, ModelError, OutputError
from train.models.densenet import MuraNet

State = dict[str, Tensor]

# torchvision's files of 2017 name a dense layer's parts 'norm.1', 'conv.2'; its module names them 'norm1', 'conv2'
OLD_KEY = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What torch.save wrote, tensors on the CPU. Raises ModelError; never runs code from the file."""
    if not path.is_file():
        raise InputError(f"{path} is not there")
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # torch's own message tells how to switch the protection off
        raise ModelError(f"{path} is no checkpoint, or holds more than weights: it is not loaded") from error
    except (RuntimeError, EOFError, OSError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{path} cannot be read as a checkpoint: {reason}") from error
    if not isinstance(values, dict):
        raise ModelError(f"{path} holds a {type(values).__name__}, not a dictionary of weights")
    return values


def write_checkpoint(values: Mapping[str, Any], path: Path) -> None:
    """A kill at any moment leaves the old file or the new one. Raises OutputError."""
    make_folder(path.parent)
    try:
        with atomic_file(path) as file:
            torch.save(dict(values), file)
    except RuntimeError as error:  # torch reports a full disk as a RuntimeError of its zip writer
        raise OutputError(f"{path} cannot be written: {error}: {FREE_SPACE}") from error


def trained_network(values: Mapping[str, Any], path: Path) -> MuraNet:
    """The network of a checkpoint of ours, in eval mode: its averaged weights where it has them."""
    state = values.get("ema") or values.get("model")
    if not isinstance(state, dict):
        raise ModelError(f"{path} is not a checkpoint of python -m train: it has neither 'ema' nor 'model'")
    net = MuraNet(aux=len(state["aux.weight"]) if "aux.weight" in state else 0)
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(f"{path} does not fit DenseNet169: {str(error).splitlines()[-1].strip()}") from error
    return net.eval()


def recipe_of(values: Mapping[str, Any]) -> dict[str, Any]:
    recipe = json.loads(values.get("recipe", "{}"))
    if not isinstance(recipe, dict):
        raise ModelError("the checkpoint's recipe is not a table")
    return recipe


def initial_state(path: Path) -> State:
    """Weights to start from: a state dict of torchvision's densenet169 (old and new key style, 'module.' prefixes of
    data-parallel training allowed), or a checkpoint of ours. Keys as MuraNet's."""
    values = read_checkpoint(path)
    state = values.get("ema") or values.get("model") or values.get("state_dict") or values
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{path} is neither a state dict nor a checkpoint of python -m train")
    return {OLD_KEY.sub(r"\1\2.", key.removeprefix("module.")): value for key, value in state.items()}


def initialise(net: MuraNet, path: Path) -> None:
    """Loads the body, and each head whose shape fits (ImageNet's 1000 classes do not). Raises ModelError when a weight
    of the body is missing or of another shape: half a start is no start."""
    state, own = initial_state(path), net.state_dict()
    body = {key for key in own if key.startswith("features.") and not key.endswith("num_batches_tracked")}
    if wrong := sorted(k for k in body if k not in state or state[k].shape != own[k].shape):
        raise ModelError(
            f"{path} does not fit DenseNet169: {len(wrong)} weights are missing or misshapen, {wrong[0]} for one"
        )
    net.load_state_dict({k: v for k, v in state.items() if k in own and v.shape == own[k].shape}, strict=False)
