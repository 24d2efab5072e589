"""Fidelity: model inputs of the fast path against those of a full decode in float64, on real radiographs."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmread

from bench.full_size import write_enlarged
from bench.result import Figure
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.worker.pool import DecodePool
from mura_batch.model_card import Model
from mura_batch.preprocess import InputSpec
from mura_batch.records import Instance, Skipped
from mura_batch.runtime.cpu_answers import cpu_answers

SECTION = "Fidelity of the fast path"


def fidelity(folder: Path, instances: list[Instance], model: Model) -> list[Figure]:
    """instances: of files under folder with one linear window and MONOCHROME2, as bench.full_size writes them."""
    spec = model.card.input
    fast: dict[str, NDArray[np.uint8]] = {}
    with DecodePool(folder, IntakePolicy(settle_seconds=0), spec, 1) as pool:
        for item in pool.decode(instances):
            if isinstance(item, Skipped):
                raise RuntimeError(f"{item.source.path}: {item.detail}")  # noqa: TRY004 - what was written is readable
            fast[item[0].instance.source.path] = item[1]
    paths = [i.source.path for i in instances]
    with ProcessPoolExecutor() as processes:
        full = dict(zip(paths, processes.map(partial(_full_path, folder, spec.size), paths), strict=True))
    difference = [np.abs(fast[path].astype(float) - full[path]) for path in full]
    worst = [float(np.percentile(d, 99.9)) for d in difference]
    exact = _scores(model, list(full.values()), "float32")
    scores = np.abs(_scores(model, [fast[p] for p in full], "float32") - exact)
    as_scored = np.abs(_scores(model, [fast[p] for p in full], "auto") - exact)
    grey = "grey levels"
    several = f"of {len(full)} pictures"
    return [
        Figure(SECTION, f"mean |difference| {several}", float(np.mean(difference)), "< 0.5", unit=grey),
        Figure(SECTION, "of the worst picture", max(float(d.mean()) for d in difference), unit=grey),
        Figure(SECTION, f"99.9th percentile {several}", float(np.percentile(difference, 99.9)), "< 4", unit=grey),
        Figure(SECTION, "of the worst picture", max(worst), "< 4", unit=grey),
        Figure(SECTION, "score difference, 99th percentile", float(np.percentile(scores, 99)), "< 0.005"),
        Figure(SECTION, "score difference, largest", float(scores.max()), "< 0.02"),
        Figure(SECTION, "with the runner's own precision, 99th percentile", float(np.percentile(as_scored, 99))),
        Figure(SECTION, "with the runner's own precision, largest", float(as_scored.max()), "< 0.02"),
    ]  # fmt: skip


def _full_path(folder: Path, size: int, path: str) -> NDArray[np.uint8]:
    return full_path(dcmread(folder / path), size)


def full_path(data: Dataset, size: int) -> NDArray[np.uint8]:
    """[size, size] model input: whole frame, window in float64 (PS3.3 C.11.2.1.2.1), resize in float, letterbox."""
    center, width = float(data.WindowCenter), float(data.WindowWidth)
    shown = np.clip((data.pixel_array.astype(np.float64) - (center - 0.5)) / (width - 1) + 0.5, 0, 1) * 255
    rows, columns = InputSpec(size=size).fitted(shown.shape[0], shown.shape[1])
    fitted = Image.fromarray(shown.astype(np.float32)).resize((columns, rows), Image.Resampling.BILINEAR)
    canvas = np.zeros((size, size), np.uint8)
    top, left = (size - rows) // 2, (size - columns) // 2
    canvas[top : top + rows, left : left + columns] = np.clip(np.rint(np.asarray(fitted)), 0, 255)
    return canvas


def _scores(model: Model, pictures: list[NDArray[np.uint8]], precision: str) -> NDArray[np.float32]:
    """precision: 'float32' on both sides shows the difference of the pictures alone; 'auto' is what a run uses."""
    return cpu_answers(model, precision, np.stack(pictures)[:, None]).probability


def instances_of(folder: Path) -> Iterator[Instance]:
    """The instances under folder that mura-batch would score. Raises RuntimeError for a skipped file."""
    from mura_batch.dicom.discover import discover
    from mura_batch.dicom.header.reader import read_header

    policy = IntakePolicy(settle_seconds=0)
    for source in discover(folder, policy):
        found = source if isinstance(source, Skipped) else read_header(folder, source, policy)
        if isinstance(found, Skipped):
            raise RuntimeError(f"{found.source.path}: {found.detail}")  # noqa: TRY004
        yield found


def measured(pictures: Path, work: Path, model: Model, count: int = 200) -> list[Figure]:
    """FracAtlas's val pictures enlarged to full size, each wrapped in one of the six syntaxes."""
    import csv

    with (pictures / "labels.csv").open(newline="") as file:
        names = [row["image"] for row in csv.DictReader(file) if row["split"] == "val"][:count]
    write_enlarged(work, [pictures / name for name in names])
    return fidelity(work, list(instances_of(work)), model)
