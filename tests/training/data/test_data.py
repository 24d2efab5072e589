"""Data sets: MURA trees of both CSV styles and of none, labels.csv folders, DICOM folders, and the cache."""

from __future__ import annotations

import csv
import errno
import os
import pickle
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mura_batch.errors import InputError, OutputError, RunnerError
from mura_batch.phantom import PhantomOptions, make_phantoms
from mura_batch.preprocess import InputSpec, preprocess
from mura_batch.records import Reason
from train.data.counts import differences
from train.data.examples import TRAIN, VAL, Dataset, Example, attributes_of, studies_of
from train.data.input_cache import PARALLEL_FROM, in_processes, model_inputs, read_picture
from train.data.mura import KNOWN_PICTURES, KNOWN_STUDIES
from train.data.open_dataset import open_dataset
from train.data.whole_pictures import whole_pictures, with_shorter_side

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_mura_counts_add_up_to_the_published_totals() -> None:
    """arXiv:1712.06957, table 1, and the release's CSV files: 14,656 studies and 40,005 images without the test set."""

    def total(counts: dict[str, tuple[int, int]]) -> tuple[int, int]:
        return sum(n for n, _ in counts.values()), sum(a for _, a in counts.values())

    assert [total(KNOWN_STUDIES[s]) for s in (TRAIN, VAL)] == [(8280, 5177), (661, 538)]
    assert [total(KNOWN_PICTURES[s]) for s in (TRAIN, VAL)] == [(21935, 14873), (1667, 1530)]


@pytest.mark.parametrize("how", [{}, {"header": True}, {"with_csv": False}], ids=["csv", "csv with header", "folders"])
def test_a_mura_tree_reads_the_same_whatever_its_csv_style(
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


def test_without_a_paths_file_labels_are_checked_against_folders(
    make_tree: Callable[..., Path], tmp_path: Path
) -> None:
    tree = make_tree(tmp_path)
    (tree / "train_image_paths.csv").unlink()
    examples = open_dataset(tree).examples
    study = next(tree.glob("train/XR_HAND/*/study1_negative"))
    study.rename(study.with_name("study1_positive"))
    with pytest.raises(
        InputError, match=r"labelled 0 and its folder says positive; correct the label in train_labeled_studies\.csv"
    ):
        open_dataset(tree)
    (tree / "train_labeled_studies.csv").unlink()
    assert sum(e.abnormal for e in open_dataset(tree).examples) > sum(e.abnormal for e in examples)


@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("name", ["train_image_paths.csv", "train_labeled_studies.csv"])
def test_a_line_that_is_no_path_is_always_named(
    make_tree: Callable[..., Path], tmp_path: Path, name: str, header: bool
) -> None:
    tree = make_tree(tmp_path, header=header)
    lines = (tree / name).read_text().splitlines()
    lines[3:3] = [" ", lines[3].replace("XR_", "RX_")]  # an empty line is none of MURA's, and no harm
    (tree / name).write_text("\n".join(lines))
    with pytest.raises(InputError, match=rf"{name}, line 5: .*RX_.* is not a path of MURA"):
        open_dataset(tree)


def test_a_first_line_that_is_a_path_is_no_header(make_tree: Callable[..., Path], tmp_path: Path) -> None:
    tree = make_tree(tmp_path)
    listed = tree / "valid_image_paths.csv"
    listed.write_text(listed.read_text().replace("XR_", "RX_", 1))
    with pytest.raises(InputError, match=r"line 1: .*RX_"):
        open_dataset(tree)


def test_an_error_names_the_line_of_a_missing_label(make_tree: Callable[..., Path], tmp_path: Path) -> None:
    tree = make_tree(tmp_path)
    labels = tree / "train_labeled_studies.csv"
    labels.write_text(labels.read_text().replace("/,0", "/,normal", 1))
    with pytest.raises(InputError, match=r"train_labeled_studies\.csv, line 1: .* has no label 0 or 1"):
        open_dataset(tree)


@pytest.mark.parametrize("name", ["train_image_paths.csv", "valid_labeled_studies.csv"])
def test_a_mura_file_is_utf_8_with_or_without_bom(
    mura: Path, make_tree: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    path = make_tree(tmp_path) / name
    text = path.read_text()
    path.write_text(text, encoding="utf-8-sig")
    assert open_dataset(path.parent).examples == open_dataset(mura).examples
    path.write_text(text, encoding="utf-16")
    with pytest.raises(InputError, match=rf"{name} is not UTF-8: save it as UTF-8"):
        open_dataset(path.parent)


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


def test_a_labels_file_is_utf_8_with_or_without_bom(tmp_path: Path) -> None:
    path = labels_csv(tmp_path, "a.png,train,Müller,hand,frontal,1,1,2") / "labels.csv"
    text = path.read_text(encoding="utf-8")
    path.write_text(text, encoding="utf-8-sig")
    (example,) = open_dataset(tmp_path).examples
    assert (example.image, example.group) == ("a.png", "Müller")
    path.write_text(text, encoding="cp1252")
    with pytest.raises(InputError, match=r"labels\.csv is not UTF-8: save it as UTF-8"):
        open_dataset(tmp_path)


def test_an_error_lists_what_a_data_set_must_contain(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"labels\.csv.*XR_.*truth\.csv"):
        open_dataset(tmp_path)


def test_the_cache_holds_scoring_inputs_and_is_written_once(mura: Path, tmp_path: Path) -> None:
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


def test_a_cache_that_cannot_be_written_is_reported(mura: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(OutputError, match="--cache"):
        model_inputs(open_dataset(mura), TRAIN, InputSpec(size=32), tmp_path / "cache")


def test_a_cache_that_fails_to_reach_disk_is_removed(
    mura: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network file system, or one that allocates late, tells of a full disk only when the file is synchronised."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"No space left on device\): free some space or give another --cache"):
        model_inputs(open_dataset(mura), TRAIN, InputSpec(size=32), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_reader_ends_in_a_sentence() -> None:
    killed = in_processes(signal.raise_signal, [signal.SIGKILL] * PARALLEL_FROM)  # type: ignore[arg-type, list-item]
    with pytest.raises(RunnerError, match="a process that reads pictures was killed"):
        list(killed)


def test_whole_pictures_keep_their_ends(mura: Path, tmp_path: Path) -> None:
    dataset = open_dataset(mura)
    pictures = whole_pictures(dataset, 48, tmp_path)
    (written,) = tmp_path.iterdir()
    names = [mura / e.image for e in dataset.split(TRAIN)]
    assert len(pictures) == len(names)
    for name, picture in zip(names, pickle.loads(pickle.dumps(pictures)), strict=True):
        source = read_picture(name)
        assert min(picture.shape) == 48
        assert picture.shape[0] / picture.shape[1] == pytest.approx(source.shape[0] / source.shape[1], rel=0.02)
        assert np.array_equal(picture, with_shorter_side(source, 48))
    before = written.stat().st_mtime_ns
    whole_pictures(dataset, 48, tmp_path)
    assert written.stat().st_mtime_ns == before


def test_the_middle_of_a_whole_picture_is_what_scoring_sees() -> None:
    down, across = np.mgrid[0:300, 0:200]
    source = (down * 0.5 + across * 0.4).astype(np.uint8)
    whole = with_shorter_side(source, 64)
    assert whole.shape == (96, 64)
    seen = preprocess(source, InputSpec(size=64, resize="crop"))
    assert np.abs(whole[16:80].astype(int) - seen).max() <= 1


def test_a_strip_is_cut_to_four_squares() -> None:
    strip = np.zeros((2, 4000), np.uint8)
    strip[:, 1990:2010] = 255
    whole = with_shorter_side(strip, 32)
    assert whole.shape == (32, 128)
    assert (whole == 255).all()


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """A folder of DICOM studies with a truth.csv."""
    return make_phantoms(tmp_path / "studies", PhantomOptions(studies=8, seed=5, small=True)).folder


def test_dicom_studies_with_a_truth_file_are_a_data_set(export: Path, tmp_path: Path) -> None:
    dataset = open_dataset(export)
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
    some = Dataset(export, "dicom", dataset.examples[:3])
    inputs = model_inputs(some, some.examples[0].split, InputSpec(size=64), tmp_path / "cache")
    assert inputs.shape[1:] == (64, 64)
    assert (inputs.reshape(len(inputs), -1).std(axis=1) > 5).all()


def test_unused_dicom_files_are_counted_without_names(export: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = export / "truth.csv"
    header, first, *others = truth.read_text().splitlines()
    whole = len(open_dataset(export).examples)
    assert f"{whole} radiographs of " in capsys.readouterr().err

    truth.write_text("\n".join([header, *others]) + "\n")
    labelled = len(open_dataset(export).examples)
    (line,) = capsys.readouterr().err.splitlines()
    files = sum(p.is_symlink() or p.is_file() for p in export.rglob("*")) - 1  # truth.csv
    assert 0 < labelled < whole
    assert line.startswith(f"{labelled} radiographs of {files} files are labelled; ")
    unlabelled, skipped = (
        int(n) for n in re.findall(r"(\d+) have no label in truth\.csv, (\d+) were skipped", line)[0]
    )
    assert unlabelled >= whole - labelled
    assert labelled + unlabelled + skipped == files
    reasons = re.findall(r"(\d+) ([a-z_]+)(?:, |$)", line.partition("skipped: ")[2])
    assert sum(int(count) for count, _ in reasons) == skipped
    assert {name for _, name in reasons} <= set(Reason)
    assert first.split(",")[0] not in line
    assert "/" not in line


def test_a_truth_file_that_is_not_utf_8_is_reported(export: Path) -> None:
    truth = export / "truth.csv"
    truth.write_text(truth.read_text(), encoding="utf-16")
    with pytest.raises(InputError, match=r"truth\.csv is not UTF-8: save it as"):
        open_dataset(export)


def test_splits_are_read_from_a_spreadsheets_truth_file(export: Path) -> None:
    """Semicolons, a byte-order mark and DICOM's own name of the column: the labels are read from such a file too."""
    truth = export / "truth.csv"
    with truth.open(newline="") as file:
        labels = {row["study_uid"]: row["label"] for row in csv.DictReader(file)}
    text = "".join(f"{study};{label};val\n" for study, label in labels.items())
    truth.write_text(f"StudyInstanceUID;label;split\n{text}", encoding="utf-8-sig")
    assert {e.split for e in open_dataset(export).examples} == {VAL}


@pytest.mark.parametrize("header", [False, True], ids=["as released", "with header"])
def test_check_names_each_picture_that_cannot_be_read(
    header: bool, make_tree: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tree as the release's archive leaves it: grey and RGB pictures, and macOS's "._" files beside them."""
    from train.cli.main import main

    tree = make_tree(tmp_path, header=header)
    pictures = sorted(tree.glob("*/XR_*/*/*/image1.png"))
    for path in pictures[::3]:
        Image.open(path).convert("RGB").save(path)
        path.with_name("._image1.png").write_bytes(b"\0\5\26\7")
    command = ["data", str(tree), "--partial", "--check"]
    assert main(command) == 0
    assert "All 66 pictures can be read." in capsys.readouterr().out

    pictures[1].write_bytes(pictures[1].read_bytes()[:60])
    pictures[-1].write_bytes(b"")
    assert main(command) == 2
    error = capsys.readouterr().err
    assert "2 of 66 pictures cannot be read" in error
    assert str(pictures[1]) in error
    assert str(pictures[-1]) in error


def test_rgb_and_grey_pictures_are_the_same_model_input(tmp_path: Path) -> None:
    grey = np.random.default_rng(1).integers(0, 256, (60, 40), np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey).convert("RGB").save(tmp_path / "rgb.png")
    assert np.array_equal(read_picture(tmp_path / "grey.png"), read_picture(tmp_path / "rgb.png"))
