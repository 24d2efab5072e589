"""Data sets: MURA trees of both CSV styles and of none, labels.csv folders, DICOM folders, and the cache."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mura_batch.errors import InputError, OutputError
from mura_batch.phantom import PhantomOptions, make_phantoms
from mura_batch.preprocess import InputSpec, preprocess
from train.data.cache import model_inputs, read_picture
from train.data.counts import differences
from train.data.examples import TRAIN, VAL, Dataset, Example, attributes_of, studies_of
from train.data.mura import KNOWN_PICTURES, KNOWN_STUDIES
from train.data.sources import open_dataset

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_the_known_counts_of_mura_add_up_to_its_published_totals() -> None:
    """arXiv:1712.06957, table 1, and the release's CSV files: 14,656 studies and 40,005 images without the test set."""

    def total(counts: dict[str, tuple[int, int]]) -> tuple[int, int]:
        return sum(n for n, _ in counts.values()), sum(a for _, a in counts.values())

    assert [total(KNOWN_STUDIES[s]) for s in (TRAIN, VAL)] == [(8280, 5177), (661, 538)]
    assert [total(KNOWN_PICTURES[s]) for s in (TRAIN, VAL)] == [(21935, 14873), (1667, 1530)]


@pytest.mark.parametrize("how", [{}, {"header": True}, {"with_csv": False}], ids=["csv", "csv with header", "folders"])
def test_a_mura_tree_reads_the_same_with_either_csv_style_or_none(
    how: dict[str, bool], mura: Path, make_tree: Callable[..., Path], tmp_path: Path
) -> None:
    other = open_dataset(make_tree(tmp_path, **how))
    assert set(other.examples) == set(open_dataset(mura).examples)


def test_pictures_of_a_mura_study_belong_together(mura: Path) -> None:
    examples = open_dataset(mura).split(VAL)
    studies = studies_of(examples)
    # 3 regions x 10 studies; numbers 0, 3, 6 and 9 of each have two pictures
    assert (len(examples), len(studies)) == (42, 30)
    assert studies.abnormal.sum() == 15
    assert studies.mean(np.ones(42)).tolist() == [1.0] * 30


def test_files_that_macos_leaves_in_the_archive_are_no_pictures(make_tree: Callable[..., Path], tmp_path: Path) -> None:
    tree = make_tree(tmp_path, with_csv=False)
    before = open_dataset(tree).examples
    (next(tree.glob("train/*/*/*")) / "._image1.png").write_bytes(b"\0")
    assert open_dataset(tree).examples == before


def test_a_label_that_contradicts_its_folder_is_an_error(make_tree: Callable[..., Path], tmp_path: Path) -> None:
    tree = make_tree(tmp_path)
    labels = tree / "train_labeled_studies.csv"
    labels.write_text(labels.read_text().replace("negative/,0", "negative/,1", 1))
    with pytest.raises(InputError, match="labelled 1 and its folder says negative"):
        open_dataset(tree)


def test_the_data_command_shows_where_a_tree_differs_from_mura(here: Command, mura: Path) -> None:
    done = here("data", mura)
    assert done.returncode == 2
    assert "train studies, elbow: 3/3 here, 1094/660 in MURA v1.1" in done.stderr
    assert "total" in done.stdout
    assert here("data", mura, "--partial").returncode == 0


def test_a_whole_mura_differs_nowhere(tmp_path: Path) -> None:
    """A data set with MURA's counts, made without its pictures."""
    examples = tuple(
        Example(
            f"{split}/{region}/{label}/{n}", split, f"{region}{label}{min(n, studies - 1)}", "p", region, bool(label)
        )
        for split in (TRAIN, VAL)
        for region in KNOWN_STUDIES[split]
        for label in (0, 1)
        for studies in (KNOWN_STUDIES[split][region][label],)
        for n in range(KNOWN_PICTURES[split][region][label])
    )
    assert differences(Dataset(tmp_path, "mura", examples)) == []
    assert len(differences(Dataset(tmp_path, "mura", examples[:-1]))) == 1


def labels_csv(root: Path, *lines: str) -> Path:
    (root / "labels.csv").write_text(
        "image,split,group,body_part,views,hardware,abnormal,count\n" + "\n".join(lines) + "\n"
    )
    return root


def test_a_labels_file_gives_attributes_for_auxiliary_heads(tmp_path: Path) -> None:
    labels_csv(tmp_path, "a.png,train,g1,hand+hip,frontal,1,1,2", "b.png,val,g2,hand,lateral,0,0,0")
    dataset = open_dataset(tmp_path)
    assert attributes_of(dataset.examples, ("hand", "hip", "hardware", "lateral")).tolist() == [
        [1, 1, 1, 0],
        [1, 0, 0, 1],
    ]


def test_a_group_in_two_splits_is_refused(tmp_path: Path) -> None:
    labels_csv(tmp_path, "a.png,train,g1,hand,frontal,1,1,2", "b.png,val,g1,hand,lateral,0,0,0")
    with pytest.raises(InputError, match="two splits, 'g1'"):
        open_dataset(tmp_path)


def test_a_wrong_line_of_a_labels_file_is_named(tmp_path: Path) -> None:
    labels_csv(tmp_path, "a.png,train,g1,hand,frontal,1,1,2", "b.png,test,g2,hand,lateral,0,0,0")
    with pytest.raises(InputError, match="line 3: split 'test'"):
        open_dataset(tmp_path)


def test_a_folder_that_is_no_data_set_is_told_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"labels\.csv.*XR_.*truth\.csv"):
        open_dataset(tmp_path)


def test_the_cache_holds_what_scoring_would_see_and_is_written_once(mura: Path, tmp_path: Path) -> None:
    dataset, spec = open_dataset(mura), InputSpec(size=48)
    inputs = model_inputs(dataset, VAL, spec, tmp_path)
    last = dataset.split(VAL)[-1]
    assert np.array_equal(inputs[-1], preprocess(read_picture(mura / last.image), spec))
    (path,) = tmp_path.iterdir()
    written = path.stat().st_mtime_ns
    assert np.array_equal(model_inputs(dataset, VAL, spec, tmp_path), inputs)
    assert path.stat().st_mtime_ns == written


def test_a_changed_picture_is_read_again(make_tree: Callable[..., Path], tmp_path: Path) -> None:
    tree = make_tree(tmp_path)
    dataset, spec = open_dataset(tree), InputSpec(size=32)
    before = np.array(model_inputs(dataset, TRAIN, spec, tmp_path / "cache")[0])
    first, other = (tree / e.image for e in dataset.split(TRAIN)[:2])
    first.write_bytes(other.read_bytes())
    assert not np.array_equal(model_inputs(dataset, TRAIN, spec, tmp_path / "cache")[0], before)


def test_a_cache_that_cannot_be_written_is_told(mura: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(OutputError, match="--cache"):
        model_inputs(open_dataset(mura), TRAIN, InputSpec(size=32), tmp_path / "cache")


def test_dicom_studies_with_a_truth_file_are_a_data_set(tmp_path: Path) -> None:
    root = make_phantoms(tmp_path / "studies", PhantomOptions(studies=8, seed=5, small=True)).folder
    dataset = open_dataset(root)
    assert dataset.kind == "dicom"
    splits = {e.split for e in dataset.examples}
    assert splits <= {TRAIN, VAL}
    assert {e.region for e in dataset.examples} <= {
        "elbow",
        "finger",
        "forearm",
        "hand",
        "humerus",
        "shoulder",
        "wrist",
    }
    some = Dataset(root, "dicom", dataset.examples[:3])
    inputs = model_inputs(some, some.examples[0].split, InputSpec(size=64), tmp_path / "cache")
    assert inputs.shape[1:] == (64, 64)
    assert (inputs.reshape(len(inputs), -1).std(axis=1) > 5).all()
