"""Checkpoints as export and evaluation need them: the network, and what is recorded beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mura_batch.errors import InputError
from mura_batch.preprocess import LETTERBOX, InputSpec
from train.models.checkpoint import recipe_of, trained_network
from train.models.densenet import MuraNet
from train.models.weight_file import read_checkpoint


@dataclass(frozen=True, slots=True)
class Member:
    """A checkpoint as export needs it."""

    path: Path
    net: MuraNet
    values: Mapping[str, Any]

    @property
    def recipe(self) -> dict[str, Any]:
        return recipe_of(self.values)


def read_member(path: Path) -> Member:
    values = read_checkpoint(path)
    return Member(path, trained_network(values, path), values)


def input_spec(members: Sequence[Member], asked: int | None) -> InputSpec:
    """The size asked for, else the one that all checkpoints were last trained at; and their resize. InputError when
    they differ."""
    sizes = {asked} if asked is not None else {trained_size(m.recipe) for m in members}
    size = sizes.pop()
    if sizes or size is None:
        raise InputError("the checkpoints were not all trained at one input size; give --size")
    resizes = {trained_resize(m.recipe) for m in members}
    if len(resizes) > 1:
        raise InputError(f"the checkpoints were trained with {' and '.join(sorted(resizes))}: no input suits them all")
    return InputSpec(size=size, resize=resizes.pop())


def trained_resize(recipe: Mapping[str, Any]) -> str:
    """Of a recorded recipe; those before the key were letterboxed."""
    return str(recipe.get("resize", LETTERBOX))


def trained_size(recipe: Mapping[str, Any]) -> int | None:
    """The last size of a recorded recipe; None where none was recorded."""
    stages = recipe.get("stages")
    return int(stages[-1]["sizes"][-1][1]) if stages else None
