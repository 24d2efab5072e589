"""Training and scoring see one picture: what training reads from a picture file, and what a DICOM of it gives."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.as_dicom import WAYS, input_by_way_of_dicom, write_as_dicom
from bench.fidelity import instances_of
from mura_batch.agreement.curves import roc_auc_score
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.worker.child import decode_file
from mura_batch.model_card import load_model
from mura_batch.preprocess import CROP, STRETCH, InputSpec, preprocess
from mura_batch.resources import engines_folder
from mura_batch.runtime.cpu_answers import cpu_answers
from train.data.input_cache import read_picture

SPEC = InputSpec()
Example = tuple[Path, int]


@pytest.fixture(scope="module")
def validation(fracatlas: Path) -> list[Example]:
    """(picture, abnormal) of the split that the reference model's card was measured on."""
    with (fracatlas / "labels.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
    return [(fracatlas / row["image"], int(row["abnormal"])) for row in rows]


def both(validation: list[Example], folder: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Model inputs [N, S, S] as training has them, and by way of DICOM."""
    trained, scored = [], []
    for number, (image, _) in enumerate(validation):
        picture = read_picture(image)
        trained.append(preprocess(picture, SPEC))
        scored.append(input_by_way_of_dicom(folder / "a.dcm", picture, number, SPEC))
    return np.stack(trained), np.stack(scored)


def narrow_gradient() -> NDArray[np.uint8]:
    """[1600, 200]: so narrow that a decoder which reduced it to the longer side would leave fewer columns than 64."""
    down, across = np.mgrid[0:1600, 0:200]
    levels: NDArray[np.uint8] = ((down // 16 + across) % 256).astype(np.uint8)
    return levels


@pytest.mark.parametrize("resize", [STRETCH, CROP])
@pytest.mark.parametrize("number", range(len(WAYS)))
def test_a_square_picture_is_the_same_by_way_of_dicom(number: int, resize: str, tmp_path: Path) -> None:
    spec = InputSpec(size=64, resize=resize)
    picture = narrow_gradient()
    write_as_dicom(tmp_path / "a.dcm", picture, number)
    (instance,) = instances_of(tmp_path)
    _, _, scored = decode_file(tmp_path, instance, IntakePolicy(), spec)
    trained = preprocess(picture, spec)
    assert np.abs(trained.astype(int) - scored).max() <= 1
    assert (trained != preprocess(picture, InputSpec(size=64))).any()
    columns = trained.mean(axis=0)
    assert columns.min() > 50, "no bars beside it"


@pytest.mark.slow
def test_every_validation_picture_is_the_same_by_way_of_dicom(validation: list[Example], tmp_path: Path) -> None:
    trained, scored = both(validation, tmp_path)
    difference = np.abs(trained.astype(int) - scored).max(axis=(1, 2))
    assert [str(validation[n][0].name) for n in np.flatnonzero(difference > 1)] == []
    assert (difference[[n % len(WAYS) == 0 for n in range(len(validation))]] == 0).all()


@pytest.mark.slow
def test_pictures_score_the_same_by_way_of_dicom(validation: list[Example], tmp_path: Path) -> None:
    """The reference model's card is measured on picture files; scores are made of DICOM."""
    model = load_model(engines_folder() / "reference")
    inputs = both(validation[::16], tmp_path)
    files, scored = (cpu_answers(model, "float32", part[:, None]).probability for part in inputs)
    assert np.abs(files - scored).max() < 0.01


@pytest.mark.slow
@pytest.mark.timeout(1500)  # 608 pictures in float32, on a busy machine
@pytest.mark.skipif("MURA_BATCH_WHOLE_VAL" not in os.environ, reason="minutes long: make reference-check")
def test_the_cards_auroc_holds_by_way_of_dicom(validation: list[Example], tmp_path: Path) -> None:
    model = load_model(engines_folder() / "reference")
    _, scored = both(validation, tmp_path)
    probability = cpu_answers(model, "float32", scored[:, None]).probability
    labels = np.array([abnormal for _, abnormal in validation])
    found = roc_auc_score(labels, probability).value
    assert abs(found - model.card.figures["auroc"]["value"]) <= 0.002
