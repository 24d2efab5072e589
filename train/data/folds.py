"""Parts of the training split that are held out: whole groups, dealt by a hash, the same in every run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

from mura_batch.errors import InputError
from train.data.examples import TRAIN, VAL, Dataset

SHARES = 1000  # groups are dealt by a hash to this many places


def hold_out(dataset: Dataset, share: float) -> Dataset:
    """The training split alone, about that share of its groups as val."""
    return _split(dataset, lambda place: place < share)


def one_fold(dataset: Dataset, fold: int, folds: int) -> Dataset:
    """The training split alone, its fold (1 to folds) as val; the first fold is what `hold_out` of 1/folds holds out.
    Raises InputError on a fold that does not exist."""
    if not 1 <= fold <= folds or folds < 2:
        raise InputError(f"--fold {fold}/{folds}: give K/N with N of 2 or more and K from 1 to N")
    return _split(dataset, lambda place: int(place * folds) == fold - 1)


def _split(dataset: Dataset, is_held_out: Callable[[float], bool]) -> Dataset:
    parts = (TRAIN, VAL)
    examples = tuple(replace(e, split=parts[is_held_out(_place(e.group))]) for e in dataset.split(TRAIN))
    return replace(dataset, examples=examples)


def _place(group: str) -> float:
    """0 to 1, below 1."""
    return int(hashlib.sha256(group.encode("utf-8", "surrogateescape")).hexdigest(), 16) % SHARES / SHARES
