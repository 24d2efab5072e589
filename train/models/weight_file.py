"""Files of weights: read with weights_only=True, so that no code in them is run; written whole or not at all."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mura_batch.atomic_files import FREE_SPACE, atomic_file, make_folder
from mura_batch.errors import InputError, ModelError, OutputError


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What torch.save wrote, tensors on the CPU. Raises ModelError; never runs code from the file."""
    if not path.is_file():
        raise InputError(f"{path} is not there")
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # torch's own message explains how to switch the protection off
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
