"""MURA v1.1 as it comes: {train,valid}/XR_REGION/patientNNNNN/studyN_{positive,negative}/imageN.png and four CSV files.

Paths in the CSV files begin with the tree's own name ("MURA-v1.1/train/..."), and have no header line; some mirrors add
one. Where a split's image_paths.csv is absent the folders give its pictures; where its labeled_studies.csv is absent
they give its labels, and where it exists the two must agree.
"""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from mura_batch.errors import InputError
from train.data.examples import TRAIN, VAL, Dataset, Example, checked
from train.data.utf8_text import read_utf8

SPLITS = {"train": TRAIN, "valid": VAL}  # MURA's name of its folder -> ours
STUDY = re.compile(
    r"(?P<split>train|valid)/XR_(?P<region>[A-Z]+)/(?P<patient>patient\d+)/(?P<study>study\d+)_(?P<label>positive|negative)"
)
PICTURE = re.compile(STUDY.pattern + r"/image[^/]*\.png", re.IGNORECASE)

Counts = dict[str, tuple[int, int]]  # region -> (normal, abnormal)

# Studies and images of MURA v1.1, normal and abnormal: arXiv:1712.06957, table 1 (studies), and the release's CSV files
KNOWN_STUDIES: dict[str, Counts] = {
    TRAIN: {
        "elbow": (1094, 660), "finger": (1280, 655), "forearm": (590, 287), "hand": (1497, 521),
        "humerus": (321, 271), "shoulder": (1364, 1457), "wrist": (2134, 1326),
    },
    VAL: {
        "elbow": (92, 66), "finger": (92, 83), "forearm": (69, 64), "hand": (101, 66),
        "humerus": (68, 67), "shoulder": (99, 95), "wrist": (140, 97),
    },
}  # fmt: skip
KNOWN_PICTURES: dict[str, Counts] = {
    TRAIN: {
        "elbow": (2925, 2006), "finger": (3138, 1968), "forearm": (1164, 661), "hand": (4059, 1484),
        "humerus": (673, 599), "shoulder": (4211, 4168), "wrist": (5765, 3987),
    },
    VAL: {
        "elbow": (235, 230), "finger": (214, 247), "forearm": (150, 151), "hand": (271, 189),
        "humerus": (148, 140), "shoulder": (285, 278), "wrist": (364, 295),
    },
}  # fmt: skip


def is_mura(root: Path) -> bool:
    return any((root / folder).is_dir() and any((root / folder).glob("XR_*")) for folder in SPLITS)


def read_mura(root: Path) -> Dataset:
    """Raises InputError when a path is not of MURA's form or a label contradicts its folder."""
    return checked(Dataset(root, "mura", tuple(e for folder in SPLITS for e in _split(root, folder))))


def _split(root: Path, folder: str) -> Iterator[Example]:
    labels = _study_labels(root / f"{folder}_labeled_studies.csv")
    listed = root / f"{folder}_image_paths.csv"
    if listed.is_file():
        paths = [(line, row[0]) for line, row in _lines(listed)]
    else:
        listing = (p.relative_to(root).as_posix() for p in root.glob(f"{folder}/XR_*/patient*/study*/*"))
        # "._image1.png": macOS leaves such files in the release's archive
        paths = [(str(root), p) for p in sorted(listing) if PICTURE.fullmatch(p)]
    for source, path in paths:
        yield _example(path, labels, source)


def read_rows(path: Path) -> list[list[str]]:
    """Rows of a CSV of MURA without empty lines and without a header, which only some mirrors have. Raises InputError
    that names the file, and the line that is neither the header nor a path of MURA."""
    return [row for _, row in _lines(path)]


def _lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    """The rows, each with the name of its line."""
    reader = csv.reader(io.StringIO(read_utf8(path)))
    stripped = ([cell.strip() for cell in row] for row in reader)
    rows = ((f"{path}, line {reader.line_num}", row) for row in stripped if any(row))
    for number, (line, row) in enumerate(rows):
        if number == 0 and "/" not in row[0]:
            continue  # the header: a path has folders
        study_of(row[0], line)
        yield line, row


def _study_labels(path: Path) -> dict[str, set[bool]]:
    """Study without the label in its folder's name -> its labels in labeled_studies.csv; empty without that file."""
    labels = defaultdict[str, set[bool]](set)
    for line, row in _lines(path) if path.is_file() else ():
        if len(row) < 2 or row[1] not in ("0", "1", "0.0", "1.0"):
            raise InputError(f"{line}: {row[0]!r} has no label 0 or 1")
        labels[_unlabelled(study_of(row[0], line))].add(float(row[1]) == 1)
    return labels


def study_of(path: str, source: str) -> str:
    """'.../XR_WRIST/patient1/study1_positive/...' -> the part that names the study, as the tree has it."""
    if (match := STUDY.search(path)) is None:
        raise InputError(f"{source}: {path!r} is not a path of MURA (train|valid)/XR_REGION/patientN/studyN_LABEL/")
    return match.group(0)


def _unlabelled(study: str) -> str:
    return study.rpartition("_")[0]


def _example(path: str, labels: Mapping[str, set[bool]], source: str) -> Example:
    if (match := PICTURE.search(path)) is None:
        raise InputError(f"{source}: {path!r} is not a picture of MURA")
    study, by_name = study_of(path, source), match["label"] == "positive"
    if by_name not in labels.get(_unlabelled(study), {by_name}):
        raise InputError(
            f"{source}: {study} is labelled {int(not by_name)} and its folder says {match['label']}; correct the label "
            f"in {match['split']}_labeled_studies.csv or the folder's name"
        )
    region = match["region"].lower()
    split = SPLITS[match["split"]]
    return Example(match.group(0), split, study, match["patient"], region, by_name, frozenset({region}))
