"""The MURA competition's interface: valid_image_paths.csv in, predictions.csv out, a study a row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mura_batch.atomic_files import make_folder, write_atomic
from mura_batch.errors import InputError
from mura_batch.preprocess import preprocess
from mura_batch.progress import progress_bar
from train.data.input_cache import read_picture
from train.data.mura import read_rows
from train.measure.predictor import BATCH, Predictor


def predict(predictor: Predictor, listed: Path, written: Path, root: Path, flips: bool = False) -> int:
    """listed: one picture path a line; root: MURA's tree or the folder that holds it. written: `study_path/,label` with
    no header, studies in order of appearance; whole or not there. Returns the number of studies. Raises InputError that
    names a path which cannot be read, OutputError that names written."""
    paths = [row[0] for row in read_rows(listed)]
    if not paths:
        raise InputError(f"{listed} names no picture")
    probabilities = defaultdict(list)
    for path, probability in _scored(predictor, paths, root, flips):
        probabilities[path.rsplit("/", 1)[0] + "/"].append(probability)
    rows = [f"{study},{int(np.mean(p) > predictor.threshold)}\n" for study, p in probabilities.items()]
    make_folder(written.parent)
    write_atomic(written, "".join(rows).encode())
    return len(rows)


def _scored(predictor: Predictor, paths: Sequence[str], root: Path, flips: bool) -> Iterator[tuple[str, float]]:
    """The probability of each picture, read a batch at a time: the list may be longer than memory is large."""
    with progress_bar("scoring", len(paths)) as advance:
        for i in range(0, len(paths), BATCH):
            chunk = paths[i : i + BATCH]
            pictures = (read_picture(_located(root, path)) for path in chunk)
            inputs = np.stack([preprocess(picture, predictor.input) for picture in pictures])
            yield from zip(chunk, predictor.run(inputs, flips)[0].tolist(), strict=True)
            advance(i + len(chunk), "")


def _located(root: Path, path: str) -> Path:
    """MURA's paths begin with the name of its tree, so root is the folder that holds the tree, or the tree itself."""
    tree = root.resolve()
    return tree.parent / path if path.split("/", 1)[0] == tree.name else root / path
