"""The records of a labelled data set. Splits, studies and groups are decided here; pixels are read elsewhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mura_batch.errors import InputError

TRAIN, VAL = "train", "val"


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled picture. image: path relative to the data set's root, '/' between its parts. study: pictures with
    the same study key are one study. group: patient, or near-duplicates; never in two splits. region: body region that
    figures are broken down by. attributes: further words that are true of it, for auxiliary heads."""

    image: str
    split: str
    study: str
    group: str
    region: str
    abnormal: bool
    attributes: frozenset[str] = frozenset()

    @property
    def regions(self) -> tuple[str, ...]:
        """The parts of 'hand+wrist'."""
        return tuple(self.region.split("+"))


@dataclass(frozen=True, slots=True)
class Dataset:
    """A labelled data set. kind: 'mura', 'labels' or 'dicom', how its pictures are read."""

    root: Path
    kind: str
    examples: tuple[Example, ...]

    def split(self, name: str) -> tuple[Example, ...]:
        chosen = tuple(e for e in self.examples if e.split == name)
        if not chosen:
            raise InputError(
                f"{self.root} has no pictures of the split {name!r}; see: python -m train data {self.root}"
            )
        return chosen


def checked(dataset: Dataset) -> Dataset:
    """The same data set, or InputError: no example at all, a group in two splits, a study with two labels."""
    if not dataset.examples:
        raise InputError(f"{dataset.root} holds no labelled picture")
    splits, labels = defaultdict(set), defaultdict(set)
    for example in dataset.examples:
        splits[example.group].add(example.split)
        labels[example.split, example.study].add(example.abnormal)
    if shared := sorted(group for group, members in splits.items() if len(members) > 1):
        raise InputError(f"{dataset.root}: {len(shared)} patients or groups are in two splits, {shared[0]!r} for one")
    if inconsistent := sorted(study for (_, study), members in labels.items() if len(members) > 1):
        raise InputError(f"{dataset.root}: {len(inconsistent)} studies have two labels, {inconsistent[0]!r} for one")
    return dataset


def labels_of(examples: Sequence[Example]) -> NDArray[np.float32]:
    """[N] float32, 1 for abnormal."""
    return np.array([e.abnormal for e in examples], np.float32)


def attributes_of(examples: Sequence[Example], names: Sequence[str]) -> NDArray[np.float32]:
    """[N, len(names)] float32, 1 where the attribute is true; the targets of the auxiliary heads."""
    return np.array([[name in e.attributes for name in names] for e in examples], np.float32).reshape(
        len(examples), len(names)
    )


@dataclass(frozen=True, slots=True)
class Studies:
    """Pictures put together to studies. member[i]: the row in `keys` of picture i."""

    keys: tuple[str, ...]
    groups: tuple[str, ...]
    regions: tuple[str, ...]
    abnormal: NDArray[np.bool_]  # [M]
    member: NDArray[np.int64]  # [N]

    def __len__(self) -> int:
        return len(self.keys)

    def of_region(self, name: str) -> NDArray[np.bool_]:
        """[M] True where the study shows that region; a picture of 'hand+wrist' counts for both."""
        return np.array([name in region.split("+") for region in self.regions], bool)

    @property
    def region_names(self) -> tuple[str, ...]:
        return tuple(sorted({part for region in self.regions for part in region.split("+")}))

    def mean(self, probability: NDArray[np.float64]) -> NDArray[np.float64]:
        """[N] per picture -> [M] per study, the arithmetic mean (MURA, section 3.1)."""
        total = np.bincount(self.member, weights=probability, minlength=len(self.keys))
        return total / np.bincount(self.member, minlength=len(self.keys))


def studies_of(examples: Iterable[Example]) -> Studies:
    """Studies in order of first appearance."""
    row: dict[str, int] = {}
    groups, regions, abnormal, member = [], [], [], []
    for example in examples:
        if example.study not in row:
            row[example.study] = len(row)
            groups.append(example.group)
            regions.append(example.region)
            abnormal.append(example.abnormal)
        member.append(row[example.study])
    return Studies(tuple(row), tuple(groups), tuple(regions), np.array(abnormal, bool), np.array(member, np.int64))
