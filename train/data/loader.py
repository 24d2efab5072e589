"""Batches of random views. A picture's view depends on (seed, epoch, index) alone, so a resumed run sees the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from train.data.augment import Augmentation, augment
from train.data.examples import Example, attributes_of, labels_of
from train.data.whole_pictures import WholePictures

TermWeights = NDArray[np.float32]  # [N, 2]: of the loss's normal term, of its abnormal term


@dataclass(frozen=True, slots=True)
class Targets:
    """What each training picture is trained towards, by its row."""

    abnormal: NDArray[np.float32]  # [N]
    weights: TermWeights
    attributes: NDArray[np.float32]  # [N, A]


def targets_of(examples: Sequence[Example], weights: TermWeights, aux: Sequence[str]) -> Targets:
    return Targets(labels_of(examples), weights, attributes_of(examples, aux))


@dataclass(frozen=True, slots=True)
class Slice:
    """This process's share of an epoch. first: batches of the epoch that are already done."""

    seed: int
    epoch: int
    batch: int  # over all processes
    first: int = 0
    rank: int = 0
    world: int = 1


class Views(Dataset[dict[str, Any]]):
    """inputs: [N, S, S] uint8, or pictures of which squares are cut. A memory map is opened again in each loader
    process instead of being copied to it."""

    def __init__(
        self, inputs: NDArray[np.uint8] | WholePictures, targets: Targets, how: Augmentation, seed: int, epoch: int
    ) -> None:
        self.path = getattr(inputs, "filename", None)
        self.inputs = None if self.path else inputs
        self.targets, self.how, self.seed, self.epoch = targets, how, seed, epoch

    def __getitem__(self, row: int) -> dict[str, Any]:
        if self.inputs is None:
            self.inputs = np.load(str(self.path), mmap_mode="r")
        view = augment(np.asarray(self.inputs[row]), self.how, np.random.default_rng([self.seed, self.epoch, row]))
        return {
            "images": torch.from_numpy(view)[None],  # [1, S, S] uint8
            "abnormal": self.targets.abnormal[row],
            "weights": self.targets.weights[row],
            "attributes": self.targets.attributes[row],
        }


def epoch_rows(examples: Sequence[Example], sampling: str, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of an epoch: all pictures, or one of each study, shuffled by (seed, epoch)."""
    rng = np.random.default_rng([seed, epoch])
    if sampling == "pictures":
        return rng.permutation(len(examples))
    rows_of = defaultdict(list)
    for row, example in enumerate(examples):
        rows_of[example.study].append(row)
    return rng.permutation(np.array([rng.choice(rows) for rows in rows_of.values()], np.int64))


def batches(rows: NDArray[np.int64], part: Slice) -> Iterator[list[int]]:
    """Whole batches only: a last batch of one picture has no batch-norm statistics."""
    for number in range(part.first, len(rows) // part.batch):
        whole = rows[number * part.batch : (number + 1) * part.batch]
        yield [int(row) for row in whole[part.rank :: part.world]]


def loader(views: Views, rows: NDArray[np.int64], part: Slice, workers: int) -> DataLoader[dict[str, Any]]:
    """One epoch's batches for this process, in order; dictionaries of tensors with a leading batch axis."""
    return DataLoader(
        views,
        batch_sampler=list(batches(rows, part)),
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        # its own generator: DataLoader otherwise draws from the global one, and a resumed run would draw another number
        generator=torch.Generator().manual_seed(part.seed),
    )
