"""`--identifiers key`: canaries in every attribute that a header may have, and in paths, turn up nowhere outside the
ledger."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
from pydicom import config
from pydicom.datadict import DicomDictionary

from mura_batch.phantom import PhantomOptions, make_phantoms

CANARY, DATE, UID = "CANARY", "19010203", "1.9.99.76543"
FOUND = re.compile(rb"canary|19010203|1\.9\.99\.76543", re.IGNORECASE)
TEXTS = {"LO", "SH", "PN", "ST", "LT", "UT", "UC", "AE", "UR"}
# What decides whether a file is a radiograph, and how its pixels are read.
DECIDES = {"PatientSpeciesDescription", "PatientBreedDescription"}


def plant(path: Path, number: int, **own: str) -> None:
    """A canary in every text, date and UID of the dictionary that decides nothing. own: other values."""
    with config.disable_value_validation():
        data = pydicom.dcmread(path)
        for tag, (kind, _, _, retired, keyword) in DicomDictionary.items():
            if retired or not keyword or keyword in DECIDES or not 0x00080000 <= tag < 0x00500000:
                continue
            if kind in TEXTS:
                setattr(data, keyword, f"{CANARY} {number}"[:16])
            elif kind == "DA":
                setattr(data, keyword, DATE)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
            setattr(data, keyword, f"{UID}.{number}.{len(keyword)}")
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        data.ViewPosition = CANARY
        for keyword, value in own.items():
            setattr(data, keyword, value)
        data.save_as(path)


@dataclass(frozen=True)
class Night:
    """out: of two runs. studies: what they read. printed: what they printed. seen: of the workers and of
    temporary files, while they ran."""

    out: Path
    studies: Path
    printed: bytes
    seen: bytes


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    work = tmp_path_factory.mktemp("night")
    (work / CANARY).mkdir()
    studies = make_phantoms(work / CANARY / "drawn", PhantomOptions(studies=2, seed=5, small=True)).folder
    images = sorted(p for p in studies.rglob("*") if p.is_file() and _is_radiograph(p))
    plant(images[0], 1, BodyPartExamined="HAND")
    plant(images[1], 2, BodyPartExamined="", StudyDescription=f"HAND {CANARY}")
    plant(images[2], 3, BodyPartExamined="", StudyDescription=f"{CANARY} EXTREMITY")
    plant(images[3], 4, BodyPartExamined="HAND", SeriesDescription=f"WRIST {CANARY}", Modality=CANARY)
    folder = studies / f"{CANARY}^JOHN"
    folder.mkdir()
    (folder / f"{CANARY}.dcm").write_bytes(images[0].read_bytes())  # a duplicate
    (folder / f"{CANARY}-2.dcm").write_bytes(images[1].read_bytes()[:-5000])
    (folder / f"{CANARY}.txt").write_text(CANARY)
    truth = work / f"{CANARY}.csv"
    truth.write_text(f"study_uid,label\n{UID}.1.16,1\n{UID}.2.16,0\n{UID}.2.16,1\n")
    temporary = work / "tmp"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary), "SITE_PASSWORD": CANARY}
    arguments = ["--identifiers", "key", "--format", "csv,jsonl", "--truth", str(truth), "--json", "--timings"]
    printed, seen = b"", b""
    for log in ("text", "json"):
        words = ["score", str(studies), "--out", str(work / "out"), *OPTIONS, *arguments, "--log-format", log]
        done, looked = _watch(words, environment)
        printed, seen = printed + done, seen + looked
    assert not list(temporary.iterdir())
    return Night(work / "out", studies, printed, seen)


OPTIONS = ("--settle", "0", "--device", "cpu", "--workers", "1")


def _is_radiograph(path: Path) -> bool:
    try:
        return pydicom.dcmread(path, stop_before_pixels=True).get("Modality") in {"CR", "DX"}
    except (pydicom.errors.InvalidDicomError, OSError):
        return False


def _watch(arguments: list[str], environment: dict[str, str]) -> tuple[bytes, bytes]:
    """(what the command printed; command lines and environments of its children)."""
    command = [sys.executable, "-m", "mura_batch", *arguments]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, umask=0
    ) as process:
        seen = set()
        while process.poll() is None:
            seen.update(_look(process.pid))
            seen.update(_contents(Path(environment["TMPDIR"])))
            time.sleep(0.02)
        assert process.stdout is not None
        printed = process.stdout.read()
    assert process.returncode in {0, 3}, printed
    return printed, b"\n".join(seen)


def _look(parent: int) -> Iterator[bytes]:
    """A child that has not called exec yet still shows its parent's command line and environment: it is left out."""
    for children in Path("/proc").glob(f"{parent}/task/*/children"):
        try:
            own = Path(f"/proc/{parent}/cmdline").read_bytes()
            for child in children.read_text().split():
                command = Path(f"/proc/{child}/cmdline").read_bytes()
                if command != own:
                    yield command
                    yield Path(f"/proc/{child}/environ").read_bytes()
        except OSError:  # it has ended
            continue


def _contents(folder: Path) -> Iterator[bytes]:
    for path in folder.rglob("*"):
        yield os.fsencode(path.name)
        with suppress(OSError):
            yield path.read_bytes() if path.is_file() else b""


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mura_batch", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rows(night: Night, table: str) -> list[dict[str, str]]:
    with (night.out / "latest" / f"{table}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_no_canary_leaves_the_ledger(night: Night) -> None:
    outside = [p for p in night.out.rglob("*") if p.is_file() and not p.name.startswith("ledger")]
    assert len(outside) > 20
    assert [str(p) for p in outside if FOUND.search(p.read_bytes()) or FOUND.search(os.fsencode(p.name))] == []
    assert FOUND.search((night.out / "ledger.sqlite").read_bytes())  # the canaries were read


def test_no_canary_is_printed(night: Night) -> None:
    assert night.printed
    assert not FOUND.search(night.printed), night.printed


def test_no_canary_is_seen_in_workers_or_temporary_files(night: Night) -> None:
    assert b"mura_batch.dicom.worker.child" in night.seen
    assert not FOUND.search(night.seen)


def test_under_umask_000_all_of_out_is_private(night: Night) -> None:
    modes = {path: path.lstat().st_mode for path in (night.out, *night.out.rglob("*")) if not path.is_symlink()}
    assert [path for path, mode in modes.items() if mode & 0o077] == []


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_no_canary_is_exported_after_nights_by_key(night: Night, form: str) -> None:
    done = run("export", "--out", night.out, "--format", form)
    assert done.returncode == 0, done.stderr
    assert rows(night, "images")[0]["sop_instance_uid"] in done.stdout
    assert not FOUND.search((done.stdout + done.stderr).encode()), done.stdout


def test_a_dry_run_names_files_by_key(night: Night) -> None:
    done = run("score", night.studies, "--out", night.out, *OPTIONS, "--identifiers", "key", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert rows(night, "skipped")[0]["file_key"] in done.stdout
    assert not FOUND.search((done.stdout + done.stderr).encode()), done.stdout


def test_rows_are_named_by_key_in_every_table(night: Night) -> None:
    studies, images, skipped = (rows(night, table) for table in ("studies", "images", "skipped"))
    keys = {row["study_key"] for row in studies}
    assert all(re.fullmatch("[0-9a-f]{16}", key) for key in keys)
    assert {row["study_uid"] for row in studies} == keys
    assert {row["study_uid"] for row in images} <= keys
    assert {row["row_key"] for row in images} <= {row["row_key"] for row in studies}
    assert all(row["file"] == row["file_key"] for row in (*images, *skipped))
    assert len({row["file"] for row in (*images, *skipped)}) == len(images) + len(skipped)


def test_truth_is_compared_under_keys(night: Night) -> None:
    first = min((night.out / "runs").iterdir())
    assert json.loads((first / "agreement.json").read_text())["counts"]["compared"] == 1
    done = run("report", night.out / "latest", "--truth", night.out.parent / f"{CANARY}.csv")
    assert done.returncode == 0, done.stderr
    for name in ("report.html", "truth.json", "agreement.json", "agreement.csv", "run.json"):
        assert not FOUND.search((night.out / "latest" / name).read_bytes()), name


@pytest.mark.parametrize(
    "command",
    [
        ("score", "STUDIES", "--out", "OUT", "--identifiers", "key", "--dicom", "sr"),
        ("score", "STUDIES", "--out", "OUT", "--identifiers", "key", "--viewer-url", "https://a.example/{study_uid}"),
        ("report", "RUN", "--viewer-url", "https://a.example/{accession}"),
        ("dicom", "RUN"),
        ("send", "RUN", "--to", "A@127.0.0.1:9"),
        ("sample", "--out", "OUT", "--for-kappa-width", "0.2"),
    ],
)
def test_an_output_that_needs_identifiers_is_refused(night: Night, command: tuple[str, ...]) -> None:
    places = {"STUDIES": night.studies, "OUT": night.out, "RUN": night.out / "latest"}
    done = run(*(places.get(word, word) for word in command))
    assert done.returncode == 2
    assert "--identifiers accession" in done.stderr
    assert done.stderr.count("\n") == 1
