"""A deletion request is fulfilled: nothing in OUT names the study afterwards, and the rest is sound."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from command_line import mura_batch

from mura_batch.phantom import PhantomOptions, make_phantoms


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(studies, OUT): three studies, three nights with every kind of output, truth given and truth added."""
    folder = tmp_path_factory.mktemp("forget")
    studies = make_phantoms(folder / "studies", PhantomOptions(studies=3, small=True)).folder
    out = folder / "out"
    options = ("--settle", 0, "--format", "csv,jsonl", "--dicom", "sr,sc")
    done = mura_batch("score", studies, "--out", out, "--truth", studies / "truth.csv", *options)
    assert done.returncode in {0, 3}, done.stderr
    assert mura_batch("truth", "add", studies / "truth.csv", "--out", out).returncode == 0
    for _ in range(2):
        assert mura_batch("score", studies, "--out", out, *options).returncode == 0
    return studies, out


@pytest.fixture
def out(made: tuple[Path, Path], tmp_path: Path) -> Path:
    subprocess.run(["cp", "-a", made[1], tmp_path / "out"], check=True)
    (tmp_path / "out" / "ledger-schema-4.sqlite").write_bytes(b"a copy of before")
    return tmp_path / "out"


@pytest.fixture
def victim(out: Path) -> tuple[str, list[str]]:
    """(Study Instance UID, everything that names it): of a scored study of the first run."""
    (first, *_) = sorted((out / "runs").iterdir())
    rows = rows_of(first)
    uid = rows[0]["study_uid"]
    mine = [row for row in rows if row["study_uid"] == uid]
    assert len({row["study_uid"] for row in rows}) > 1
    names = {uid, *(row[name] for row in mine for name in ("sop_instance_uid", "series_uid", "file", "accession"))}
    return uid, sorted(names - {""})


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "images.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def files_with(out: Path, names: list[str]) -> Iterator[Path]:
    for path in out.rglob("*"):
        if path.is_file() and not path.is_symlink() and any(name.encode() in path.read_bytes() for name in names):
            yield path


def test_nothing_in_out_names_a_forgotten_study(out: Path, victim: tuple[str, list[str]]) -> None:
    uid, names = victim
    assert len(set(files_with(out, names))) > 10
    pictures = b"".join(path.read_bytes() for path in sorted((out / "pictures").iterdir()))
    done = mura_batch("forget", "--out", out, "--study", uid)
    assert (done.returncode, done.stderr) == (0, "")
    assert uid not in done.stdout
    assert list(files_with(out, names)) == []
    after = b"".join(path.read_bytes() for path in sorted((out / "pictures").iterdir()))
    assert after.count(bytes(500)) > pictures.count(bytes(500))
    assert not (out / "ledger-schema-4.sqlite").exists()


def test_what_is_left_is_sound_and_still_shared(out: Path, victim: tuple[str, list[str]]) -> None:
    mura_batch("forget", "--out", out, "--study", victim[0])
    done = mura_batch("verify", "--out", out)
    assert (done.returncode, done.stderr) == (0, "")
    _, second, third = sorted((out / "runs").iterdir())
    assert (second / "images.csv").samefile(third / "images.csv")
    for run in (second, third):
        manifest = json.loads((run / "run.json").read_text())
        counts = manifest["counts"]
        assert counts["found"] == counts["scored"] + counts["unchanged"] + counts["skipped"]
        rows = rows_of(run)
        assert len(rows) == counts["scored"] + counts["unchanged"] > 0


def test_a_patient_is_found_by_the_patient_id(
    made: tuple[Path, Path], out: Path, victim: tuple[str, list[str]]
) -> None:
    file = next(name for name in victim[1] if (made[0] / name).is_file())
    patient = pydicom.dcmread(made[0] / file, stop_before_pixels=True).PatientID
    done = mura_batch("forget", "--out", out, "--patient", patient)
    assert (done.returncode, done.stderr) == (0, "")
    assert patient not in done.stdout
    assert list(files_with(out, victim[1])) == []


def test_a_study_that_comes_back_is_scored_as_new(
    made: tuple[Path, Path], out: Path, victim: tuple[str, list[str]]
) -> None:
    mura_batch("forget", "--out", out, "--study", victim[0])
    again = mura_batch("score", made[0], "--out", out, "--settle", 0, "--json")
    assert json.loads(again.stdout)["counts"]["scored"] > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "name what is to be forgotten"),
        (("--study", "1.2.3"), "no study of this UID is known"),
        (("--patient", "nobody"), "no radiograph of this patient"),
    ],
)
def test_a_request_that_names_nothing_known_is_refused(out: Path, words: tuple[str, ...], message: str) -> None:
    before = {path: path.read_bytes() for path in (out / "runs").rglob("*") if path.is_file()}
    done = mura_batch("forget", "--out", out, *words)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert message in done.stderr
    assert {path: path.read_bytes() for path in (out / "runs").rglob("*") if path.is_file()} == before


def test_with_keys_only_the_rows_go_too(made: tuple[Path, Path], tmp_path: Path, victim: tuple[str, list[str]]) -> None:
    out = tmp_path / "keyed"
    done = mura_batch("score", made[0], "--out", out, "--settle", 0, "--identifiers", "key")
    assert done.returncode in {0, 3}, done.stderr
    (run,) = (out / "runs").iterdir()
    before = rows_of(run)
    done = mura_batch("forget", "--out", out, "--study", victim[0])
    assert (done.returncode, done.stderr) == (0, "")
    key = done.stdout.split()[1].rstrip(":")
    assert key in {row["study_uid"] for row in before}
    assert key not in {row["study_uid"] for row in rows_of(run)}
    shutil.rmtree(out)
