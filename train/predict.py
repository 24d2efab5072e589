"""The MURA competition's interface: valid_image_paths.csv in, predictions.csv out, a study a row."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from mura_batch.errors import InputError, OutputError
from mura_batch.preprocess import InputSpec, preprocess
from train.data.cache import read_picture
from train.data.mura import read_rows
from train.predictor import Predictor

BATCH = 32


def predict(predictor: Predictor, listed: Path, written: Path, root: Path, flips: bool = False) -> int:
    """listed: one picture path a line, below root. written: `study_path/,label` with no header, studies in order of
    appearance. Returns the number of studies. Raises InputError that names a path which cannot be read."""
    try:
        paths = [row[0] for row in read_rows(listed)]
    except OSError as error:
        raise InputError(f"{listed} cannot be read: {error.strerror}") from error
    if not paths:
        raise InputError(f"{listed} names no picture")
    probabilities = defaultdict(list)
    for i in range(0, len(paths), BATCH):
        chunk = paths[i : i + BATCH]
        inputs = np.stack([preprocess(read_picture(root / path), InputSpec(size=predictor.size)) for path in chunk])
        for path, probability in zip(chunk, predictor.run(inputs, flips)[0], strict=True):
            probabilities[path.rsplit("/", 1)[0] + "/"].append(probability)
    rows = [f"{study},{int(np.mean(p) > predictor.threshold)}\n" for study, p in probabilities.items()]
    try:
        written.write_text("".join(rows), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{written} cannot be written: {error.strerror}") from error
    return len(rows)
