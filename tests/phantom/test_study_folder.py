"""The folder that `mura-batch phantom` writes, read back by pydicom and by our own reader."""

from __future__ import annotations

import csv
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.encaps import generate_frames
from pydicom.uid import UID

from mura_batch.dicom import syntax
from mura_batch.errors import InputError, OutputError
from mura_batch.phantom import PhantomOptions, PhantomSummary, make_phantoms
from mura_batch.phantom.drawing import draw
from mura_batch.phantom.study_folder import WRITTEN_AT
from mura_batch.phantom.study_plan import plan_chest, plan_study
from mura_batch.phantom.technique import stored_values
from mura_batch.records import MURA_REGIONS

DECODERS = {
    syntax.JPEG_2000_LOSSLESS: imagecodecs.jpeg2k_decode,
    syntax.JPEG_LS_LOSSLESS: imagecodecs.jpegls_decode,
    syntax.JPEG_LOSSLESS_SV1: imagecodecs.jpegsof3_decode,
}
MAKE = """
import sys
from pathlib import Path
from mura_batch.phantom import PhantomOptions, make_phantoms
make_phantoms(Path(sys.argv[1]), PhantomOptions(studies=int(sys.argv[2]), seed=int(sys.argv[3]), small=True))
"""


def _pixels(path: Path) -> NDArray[np.uint16]:
    data = dcmread(path)
    name = str(data.file_meta.TransferSyntaxUID)
    if name in DECODERS:
        return np.asarray(DECODERS[name](next(generate_frames(data.PixelData, number_of_frames=1))))
    return np.asarray(data.pixel_array)


def _truth(export: Path) -> list[dict[str, str]]:
    with (export / "truth.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _digest(folder: Path) -> dict[str, tuple[str, int]]:
    """Every file and folder below it: SHA-256 of its bytes, and its time."""
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder",
            path.stat().st_mtime_ns,
        )
        for path in sorted(folder.rglob("*"))
    }


def _make(out: Path, studies: int, seed: int, **environment: str) -> None:
    subprocess.run(
        [sys.executable, "-c", MAKE, str(out), str(studies), str(seed)], check=True, env={**os.environ, **environment}
    )


# What is written


def test_every_radiograph_holds_the_drawn_picture_bit_for_bit(export: Path, options: PhantomOptions) -> None:
    seen = set()
    for number in range(9):  # every technique once
        image = plan_study(number, options).images[0]
        drawn = stored_values(draw(image.exposure), image.technique)

        np.testing.assert_array_equal(_pixels(export.joinpath(*image.path)), drawn)
        seen.add(image.technique.syntax)
    assert seen == {
        syntax.IMPLICIT_LE, syntax.EXPLICIT_LE, syntax.DEFLATED, syntax.JPEG_2000_LOSSLESS, syntax.JPEG_LS_LOSSLESS,
        syntax.JPEG_LOSSLESS_SV1, syntax.RLE,
    }  # fmt: skip


def test_the_files_say_what_was_planned(export: Path, options: PhantomOptions) -> None:
    for study in (*(plan_study(number, options) for number in range(options.studies)), plan_chest(options)):
        for image in study.images:
            data = dcmread(export.joinpath(*image.path), stop_before_pixels=True)
            assert data.StudyInstanceUID == study.header.study_uid
            assert data.SOPInstanceUID == data.file_meta.MediaStorageSOPInstanceUID
            assert data.AccessionNumber == study.header.accession
            assert str(data.PatientName).startswith("PHANTOM^")
            assert (data.Rows, data.Columns) == (image.exposure.rows, image.exposure.columns)
            assert data.PhotometricInterpretation == image.technique.photometric
            assert data.BurnedInAnnotation == "NO"
            for uid in (data.StudyInstanceUID, data.SeriesInstanceUID, data.SOPInstanceUID):
                assert UID(uid).is_valid
                assert uid.startswith("2.25.")


def test_the_summary_counts_every_file(export: Path, summary: PhantomSummary) -> None:
    assert sum(count for _, count in summary.files) == sum(path.is_file() for path in export.rglob("*"))
    assert summary.count("radiograph") == sum(len(plan_study(n, PhantomOptions(14, 7, True)).images) for n in range(14))
    assert summary.studies == len(_truth(export)) == 14
    assert summary.abnormal == sum(row["label"] == "1" for row in _truth(export)) == 7
    assert "14 studies, 7 of them abnormal" in str(summary)


def test_truth_names_each_study_once_with_its_region_and_label(export: Path, options: PhantomOptions) -> None:
    rows = _truth(export)

    assert list(rows[0]) == ["study_uid", "accession", "region", "label"]
    assert Counter(row["region"] for row in rows) == dict.fromkeys((str(region) for region in MURA_REGIONS), 2)
    assert {(row["region"], row["label"]) for row in rows} == {(str(r), label) for r in MURA_REGIONS for label in "01"}
    for number, row in enumerate(rows):
        plan = plan_study(number, options)
        assert (row["study_uid"], row["accession"]) == (plan.header.study_uid, plan.header.accession)


def test_irregular_files_of_a_real_export_are_included(export: Path) -> None:
    readable = {path: dcmread(path, stop_before_pixels=True) for path in export.rglob("IM*")}
    kinds = Counter(data.Modality for data in readable.values())
    assert (kinds["SR"], kinds["PR"]) == (1, 1)
    assert [data.Modality for data in readable.values() if data.get("BodyPartExamined") == "CHEST"] == ["CR"]
    assert dcmread(export / "DICOMDIR").DirectoryRecordSequence
    assert (export / "README.TXT").read_text(encoding="ascii").startswith("This folder")
    copy = export / "EXTRA" / "copy of IM000001.dcm"
    assert [path for path in readable if path.read_bytes() == copy.read_bytes()]
    assert all("." not in path.name for path in readable)


def test_one_file_ends_inside_its_pixel_data(export: Path) -> None:
    broken = []
    for path in export.rglob("IM*"):
        data = dcmread(path, stop_before_pixels=True)
        native = str(data.file_meta.TransferSyntaxUID) == syntax.EXPLICIT_LE and "Rows" in data
        if native and path.stat().st_size < data.Rows * data.Columns * 2:
            broken.append(path)

    assert len(broken) == 1
    assert broken[0].stat().st_size > 10_000


def test_the_directory_lists_every_whole_object_but_the_loose_copy(export: Path, summary: PhantomSummary) -> None:
    records = dcmread(export / "DICOMDIR").DirectoryRecordSequence
    listed = [export.joinpath(*record.ReferencedFileID) for record in records if "ReferencedFileID" in record]

    assert len(listed) == len(set(listed)) == summary.count("radiograph") + 3  # chest, report, presentation state
    assert all(path.is_file() for path in listed)


def test_files_are_old_enough_to_be_read_at_once(export: Path) -> None:
    assert {path.stat().st_mtime_ns for path in export.rglob("*")} == {WRITTEN_AT}
    assert time.time_ns() - 10**9 * 86400 > WRITTEN_AT


def test_full_size_pictures_have_radiograph_dimensions_and_12_bits(tmp_path: Path) -> None:
    make_phantoms(tmp_path / "out", PhantomOptions(studies=1))

    data = dcmread(tmp_path / "out" / "PA000001" / "ST000001" / "SE000001" / "IM000001")
    assert 1900 <= data.Rows <= 2100
    assert 1500 <= data.Columns <= 1700
    assert (data.BitsAllocated, data.BitsStored) == (16, 12)
    assert data.pixel_array.max() < 4096


# Same seed, same bytes


def test_bytes_depend_on_the_seed_not_the_hash_seed(tmp_path: Path) -> None:
    _make(tmp_path / "a", 5, 3, PYTHONHASHSEED="0")
    _make(tmp_path / "b", 5, 3, PYTHONHASHSEED="12345", TZ="Asia/Tokyo")

    assert _digest(tmp_path / "a") == _digest(tmp_path / "b")


def test_another_seed_gives_other_studies_and_pictures(tmp_path: Path) -> None:
    for seed in (1, 2):
        make_phantoms(tmp_path / str(seed), PhantomOptions(studies=1, seed=seed, small=True))

    first, second = (tmp_path / seed / "PA000001/ST000001/SE000001/IM000001" for seed in "12")
    assert dcmread(first).StudyInstanceUID != dcmread(second).StudyInstanceUID
    assert dcmread(first).PixelData != dcmread(second).PixelData


def test_a_study_is_the_same_however_many_follow_it(export: Path, tmp_path: Path) -> None:
    make_phantoms(tmp_path / "out", PhantomOptions(studies=2, seed=7, small=True))

    for path in (tmp_path / "out" / "PA000001" / "ST000001" / "SE000001").iterdir():
        assert path.read_bytes() == (export / path.relative_to(tmp_path / "out")).read_bytes()


# All or nothing


def test_a_non_empty_folder_is_refused_and_left_unchanged(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")

    with pytest.raises(InputError, match="not empty; name a new folder"):
        make_phantoms(tmp_path / "out", PhantomOptions(1, small=True))

    assert [path.name for path in tmp_path.rglob("*")] == ["out", "mine.txt"]
    assert (tmp_path / "out" / "mine.txt").read_text() == "keep"


def test_a_file_of_that_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("keep")

    with pytest.raises(InputError, match="is a file"):
        make_phantoms(tmp_path / "out", PhantomOptions(1, small=True))


@pytest.mark.parametrize("options", [PhantomOptions(studies=0), PhantomOptions(seed=-1)])
def test_no_studies_or_a_negative_seed_is_refused(options: PhantomOptions, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 1 study"):
        make_phantoms(tmp_path / "out", options)


def test_an_empty_folder_and_missing_parents_are_filled(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "a" / "b" / "out"):
        make_phantoms(out, PhantomOptions(1, small=True))
        assert (out / "truth.csv").is_file()


def test_a_link_to_an_empty_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")

    make_phantoms(tmp_path / "link", PhantomOptions(1, small=True))

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "truth.csv").is_file()


def test_a_folder_that_cannot_be_created_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("keep")

    with pytest.raises(OutputError, match="choose another folder"):
        make_phantoms(tmp_path / "file" / "out", PhantomOptions(1, small=True))


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_phantoms(tmp_path / "out", PhantomOptions(3, small=True), stop)

    assert list(tmp_path.iterdir()) == []


def test_a_kill_during_writing_leaves_no_folder(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", MAKE, str(tmp_path / "out"), "500", "0"]) as process:
        deadline = time.monotonic() + 60
        while not any(path.is_file() for path in tmp_path.rglob("*")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)

    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    make_phantoms(tmp_path / "out", PhantomOptions(1, small=True))  # and the next run is not in its way
    assert (tmp_path / "out" / "truth.csv").is_file()


def test_progress_is_reported_after_each_study(tmp_path: Path) -> None:
    progress: list[tuple[int, int]] = []

    make_phantoms(tmp_path / "out", PhantomOptions(2, small=True), lambda done, total: progress.append((done, total)))

    assert progress == [(1, 2), (2, 2)]


def test_the_package_is_light_until_it_draws() -> None:
    """`mura-batch --help` imports the options; numpy and pydicom would cost it its 0.3 s."""
    code = (
        "import sys, mura_batch.phantom; print(sorted({'numpy', 'pydicom', 'imagecodecs', 'PIL'} & sys.modules.keys()))"
    )

    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
