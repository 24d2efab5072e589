"""A folder of DICOM studies with a truth.csv, read by mura_batch's own intake: a hospital's own radiographs.

truth.csv: as `mura-batch score --truth` reads it (study_uid or accession, label, perhaps region), and perhaps split
('train' or 'val'). Where it names no split a fifth of the patients, chosen by a hash of their key, are val: the same
patient is on the same side each time, and never on both.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mura_batch.agreement.truth import read_truth
from mura_batch.dicom.discover import discover
from mura_batch.dicom.header import read_header
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.errors import InputError
from mura_batch.preprocess import InputSpec
from mura_batch.records import Instance, Skipped
from train.data.examples import TRAIN, VAL, Dataset, Example, checked

TRUTH_NAME = "truth.csv"
# Files at rest are trained on: nothing arrives while a data set is read, so no file is too young.
POLICY = IntakePolicy(settle_seconds=0)


def read_dicom_studies(root: Path) -> Dataset:
    """Studies without a label and files that are no radiographs are left out; InputError when none is left."""
    truth = read_truth(root / TRUTH_NAME)
    examples = _examples(root, truth.by, dict(truth.labels), _splits(root / TRUTH_NAME, truth.by))
    return checked(Dataset(root, "dicom", tuple(examples)))


def _splits(path: Path, by: str) -> dict[str, str]:
    """Study -> split, where the file says."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.DictReader(file) if row.get("split")]
    if wrong := [row["split"] for row in rows if row["split"] not in (TRAIN, VAL)]:
        raise InputError(f"{path}: split {wrong[0]!r} is neither {TRAIN!r} nor {VAL!r}")
    return {row[by]: row["split"] for row in rows}


def _examples(root: Path, by: str, labels: dict[tuple[str, str], int], splits: dict[str, str]) -> Iterator[Example]:
    for instance in _instances(root):
        name = instance.study_uid if by == "study_uid" else instance.accession
        region = instance.region.region.value
        # a label of one region of a study goes before a label of the whole
        key = (name, region) if (name, region) in labels else (name, "")
        if key not in labels:
            continue
        group = instance.patient_key or instance.study_uid
        yield Example(
            image=instance.source.path,
            split=splits.get(name) or _split_of(group),
            study="/".join(part for part in (instance.study_uid, key[1]) if part),
            group=group,
            region=region,
            abnormal=bool(labels[key]),
            attributes=frozenset({region}),
        )


def _instances(root: Path) -> Iterator[Instance]:
    for found in discover(root, POLICY):
        if isinstance(found, Skipped):
            continue
        header = read_header(root, found, POLICY)
        if isinstance(header, Instance):
            yield header


def _split_of(group: str) -> str:
    return VAL if hashlib.sha256(group.encode()).digest()[0] < 256 // 5 else TRAIN


def decoded(root: Path, examples: Sequence[Example], spec: InputSpec) -> Iterator[NDArray[np.uint8]]:
    """Model inputs in the order of examples. Raises InputError that names a file which cannot be decoded by its key."""
    from mura_batch.dicom.worker import DecodePool

    wanted = {e.image: n for n, e in enumerate(examples)}
    instances = [i for i in _instances(root) if i.source.path in wanted]
    waiting: dict[int, NDArray[np.uint8]] = {}
    following = 0
    with DecodePool(root, POLICY, spec, len(os.sched_getaffinity(0))) as pool:
        for result in pool.decode(instances):
            if isinstance(result, Skipped):
                raise InputError(
                    f"{result.source.key}: {result.reason}: {result.detail}; take its study out of {TRUTH_NAME}"
                )
            record, picture = result
            waiting[wanted[record.instance.source.path]] = picture
            while following in waiting:
                yield waiting.pop(following)
                following += 1
