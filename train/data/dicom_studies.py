"""A folder of DICOM studies with a truth.csv, read by mura_batch's own intake: a hospital's own radiographs.

truth.csv: as `mura-batch score --truth` reads it (study_uid or accession, label, perhaps region), and perhaps split
('train' or 'val'). Where it names no split a fifth of the patients, chosen by a hash of their key, are val: the same
patient is on the same side each time, and never on both.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mura_batch.agreement.truth_csv import read_truth
from mura_batch.agreement.truth_file import TruthFile
from mura_batch.dicom.discover import discover
from mura_batch.dicom.header.reader import read_header
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.errors import InputError
from mura_batch.preprocess import InputSpec
from mura_batch.records import Instance, Skipped, short_key
from train.data.examples import TRAIN, VAL, Dataset, Example, checked
from train.data.utf8_text import read_utf8

TRUTH_NAME = "truth.csv"
Part = tuple[str, str, str]  # a study by its name in the truth file, region and side of it, or ''
# Files at rest are trained on: nothing arrives while a data set is read, so no file is too young.
POLICY = IntakePolicy(settle_seconds=0)
SPELLINGS = {  # those of mura_batch.agreement.truth_csv, and ours
    "studyuid": "study_uid", "studyinstanceuid": "study_uid",
    "accession": "accession", "accessionnumber": "accession",
    "split": "split",
}  # fmt: skip


def read_dicom_studies(root: Path) -> Dataset:
    """Studies without a label and files that are no radiographs are left out and counted in a line on stderr;
    InputError when no radiograph is left."""
    truth = read_truth(root / TRUTH_NAME)
    truth.require_labels()
    labels, splits = _labels(truth), _splits(root / TRUTH_NAME, truth.by)
    examples: list[Example] = []
    unlabelled, skipped = 0, Counter[str]()
    for header in _headers(root):
        if isinstance(header, Skipped):
            skipped[header.reason] += 1
        elif (example := _example(header, truth.by, labels, splits)) is not None:
            examples.append(example)
        else:
            unlabelled += 1
    sys.stderr.write(f"{_summary(len(examples), unlabelled, skipped)}\n")
    return checked(Dataset(root, "dicom", tuple(examples)))


def _summary(labelled: int, unlabelled: int, skipped: Counter[str]) -> str:
    """How many files became what: counts and reasons alone, for paths carry patient data."""
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(skipped.items(), key=lambda r: (-r[1], r[0])))
    return (
        f"{labelled} radiographs of {labelled + unlabelled + skipped.total()} files are labelled; {unlabelled} have no "
        f"label in {TRUTH_NAME}, {skipped.total()} were skipped{': ' if reasons else ''}{reasons}"
    )


def _splits(path: Path, by: str) -> dict[str, str]:
    """Study -> split, where the file says. Its delimiter and its columns may be spelled as `read_truth` allows."""
    text = read_utf8(path)
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=first.count))
    names = [SPELLINGS.get(re.sub(r"[ _']", "", name).lower(), "") for name in next(reader)]
    if "split" not in names:
        return {}
    rows = [dict(zip(names, (cell.strip().lstrip("'") for cell in row), strict=False)) for row in reader]
    given = [row for row in rows if row.get("split")]
    if wrong := [row["split"] for row in given if row["split"] not in (TRAIN, VAL)]:
        raise InputError(f"{path}: split {wrong[0]!r} is neither {TRAIN!r} nor {VAL!r}")
    return {row[by]: row["split"] for row in given}


def _labels(truth: TruthFile) -> dict[Part, int]:
    """Of the lines that agree: in their label column, else by their readers' majority."""
    given: dict[Part, set[int]] = {}
    for line in truth.lines:
        votes = [said.label for said in (line.readers if line.said is None else (line.said,)) if said.label is not None]
        if votes and 2 * sum(votes) != len(votes):
            given.setdefault((line.study, line.region, line.side), set()).add(int(2 * sum(votes) > len(votes)))
    return {part: min(labels) for part, labels in given.items() if len(labels) == 1}


def _example(instance: Instance, by: str, labels: Mapping[Part, int], splits: Mapping[str, str]) -> Example | None:
    """None where truth.csv has no label for it."""
    name = instance.study_uid if by == "study_uid" else instance.accession
    region = instance.region.region.value
    # a label of one region or side of a study goes before a label of the whole
    parts = [(name, r, side) for r in (region, "") for side in (instance.laterality.value, "")]
    key = next((part for part in parts if part in labels), None)
    if key is None:
        return None
    group = instance.patient_key or instance.study_uid
    return Example(
        image=instance.source.path,
        split=splits.get(name) or _split_of(group),
        study="/".join(filter(None, (instance.study_uid, *key[1:]))),
        group=group,
        region=region,
        abnormal=bool(labels[key]),
        attributes=frozenset({region}),
    )


def _headers(root: Path) -> Iterator[Instance | Skipped]:
    """Every file below root but truth.csv."""
    for source in discover(root, POLICY):
        if isinstance(source, Skipped):
            yield source
        elif source.path != TRUTH_NAME:
            yield read_header(root, source, POLICY)


def _split_of(group: str) -> str:
    return VAL if hashlib.sha256(group.encode()).digest()[0] < 256 // 5 else TRAIN


def decoded(root: Path, examples: Sequence[Example], spec: InputSpec) -> Iterator[NDArray[np.uint8]]:
    """Model inputs in the order of examples. Raises InputError that names a file which cannot be decoded by its key."""
    from mura_batch.dicom.worker.pool import DecodePool

    wanted = {e.image: n for n, e in enumerate(examples)}
    instances = [i for i in _headers(root) if isinstance(i, Instance) and i.source.path in wanted]
    waiting: dict[int, NDArray[np.uint8]] = {}
    following = 0
    with DecodePool(root, POLICY, spec, len(os.sched_getaffinity(0))) as pool:
        for result in pool.decode(instances):
            if isinstance(result, Skipped):
                file = short_key(result.source.path)
                raise InputError(f"{file}: {result.reason}: {result.detail}; take its study out of {TRUTH_NAME}")
            record, picture = result
            waiting[wanted[record.instance.source.path]] = picture
            while following in waiting:
                yield waiting.pop(following)
                following += 1
