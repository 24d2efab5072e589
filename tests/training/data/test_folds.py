"""Parts of the training split that are held out."""

from __future__ import annotations

from pathlib import Path

import pytest

from mura_batch.errors import InputError
from train.data.examples import TRAIN, VAL, Dataset, Example
from train.data.folds import hold_out, one_fold


@pytest.fixture
def dataset() -> Dataset:
    """600 training pictures of 300 patients, and some of val."""
    examples = [Example(f"{n}", TRAIN, f"s{n}", f"p{n // 2}", "hand", n % 3 == 0) for n in range(600)]
    return Dataset(Path("nowhere"), "labels", (*examples, Example("v", VAL, "v", "v", "hand", False)))


def images(dataset: Dataset, split: str) -> set[str]:
    return {e.image for e in dataset.split(split)}


def test_folds_cover_each_training_picture_once_and_exclude_val(dataset: Dataset) -> None:
    folds = [one_fold(dataset, k, 5) for k in range(1, 6)]
    held_out = [images(fold, VAL) for fold in folds]
    assert sum(map(len, held_out)) == 600
    assert set.union(*held_out) == images(dataset, TRAIN)
    assert all(images(fold, TRAIN) == images(dataset, TRAIN) - out for fold, out in zip(folds, held_out, strict=True))
    assert all(90 < len(out) < 150 for out in held_out)


def test_a_patient_is_in_one_fold(dataset: Dataset) -> None:
    fold = one_fold(dataset, 2, 5)
    groups = [{e.group for e in fold.split(split)} for split in (TRAIN, VAL)]
    assert not groups[0] & groups[1]


def test_the_first_fold_is_what_an_ablation_holds_out(dataset: Dataset) -> None:
    assert images(one_fold(dataset, 1, 4), VAL) == images(hold_out(dataset, 0.25), VAL)


@pytest.mark.parametrize(("fold", "folds"), [(0, 5), (6, 5), (1, 1)])
def test_a_fold_that_does_not_exist_is_refused(fold: int, folds: int, dataset: Dataset) -> None:
    with pytest.raises(InputError, match="give K/N"):
        one_fold(dataset, fold, folds)
