"""Which kind of data set a folder is."""

from __future__ import annotations

from pathlib import Path

from mura_batch.errors import InputError
from train.data.examples import Dataset
from train.data.labels import LABELS_NAME, read_labels
from train.data.mura import is_mura, read_mura

TRUTH_NAME = "truth.csv"


def open_dataset(root: Path) -> Dataset:
    """A folder with labels.csv, a MURA v1.1 tree, or a DICOM folder with truth.csv, in this order of looking. Raises
    InputError that says what was looked for."""
    if not root.is_dir():
        raise InputError(f"{root} is not a folder")
    if (root / LABELS_NAME).is_file():
        return read_labels(root)
    if is_mura(root):
        return read_mura(root)
    if (root / TRUTH_NAME).is_file():
        from train.data.dicom_studies import read_dicom_studies  # pydicom only where there is DICOM

        return read_dicom_studies(root)
    raise InputError(
        f"{root} is no data set: it has no {LABELS_NAME}, no train/XR_* or valid/XR_*, and no {TRUTH_NAME}"
    )
