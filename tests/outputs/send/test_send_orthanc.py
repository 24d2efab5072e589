"""`mura-batch send` to a real Orthanc with Debian's defaults: it keeps the first object of a UID."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def uids(out: Path) -> set[str]:
    with (out / "latest" / "dicom" / "objects.csv").open(newline="") as file:
        return {row["sop_instance_uid"] for row in csv.DictReader(file)}


def test_c_store_arrives_and_a_second_send_does_nothing(orthanc: Any, out: Path, mura_batch: Run) -> None:
    done = mura_batch("send", out / "latest", "--to", orthanc.to, "--json")
    assert done.returncode == 0, done.stderr
    assert orthanc.instances() == uids(out)
    report = json.loads(done.stdout)
    assert {row["status"] for row in report["objects"]} == {"present"}
    again = json.loads(mura_batch("send", out / "latest", "--to", orthanc.to, "--json").stdout)
    assert (again["sent"], again["there_before"]) == (0, len(report["objects"]))


def test_storage_commitment_is_asked_for_and_reported(orthanc: Any, out: Path, mura_batch: Run) -> None:
    arguments = ("--to", orthanc.to, "--commit", "--listen", orthanc.listen, "--json")
    done = mura_batch("send", out / "latest", *arguments)
    assert done.returncode == 0, done.stderr
    assert {row["detail"] for row in json.loads(done.stdout)["objects"]} == {"storage commitment"}


def test_stow_arrives_and_its_content_is_compared(orthanc: Any, out: Path, mura_batch: Run) -> None:
    done = mura_batch("send", out / "latest", "--stow", orthanc.web, "--json")
    assert done.returncode == 0, done.stderr
    assert orthanc.instances() == uids(out)
    assert {row["status"] for row in json.loads(done.stdout)["objects"]} == {"verified"}


@pytest.mark.parametrize("way", ["--to", "--stow"])
def test_a_corrected_object_that_is_not_taken_is_named(orthanc: Any, out: Path, mura_batch: Run, way: str) -> None:
    """Orthanc answers success to it and keeps the first."""
    folder = (out / "latest" / "dicom").resolve()
    path = next(path for path in folder.glob("*.dcm") if dcmread(path).Modality == "SR")
    first = dcmread(path)
    first.ContentTime = "123456"
    first.save_as(out / "first.dcm")
    orthanc.put((out / "first.dcm").read_bytes())
    done = mura_batch("send", out / "latest", way, orthanc.to if way == "--to" else orthanc.web)
    assert done.returncode == 3
    (line,) = [line for line in done.stderr.splitlines() if "not there" in line]
    assert path.stem in line
    assert "different" in line
    assert "ContentTime" in line
    assert "123456" not in done.stderr


def test_a_correction_of_what_was_sent_is_not_claimed(orthanc: Any, out: Path, mura_batch: Run) -> None:
    """By C-STORE nobody can see which version Orthanc keeps: both have the attributes that C-FIND shows."""
    assert mura_batch("send", out / "latest", "--to", orthanc.to).returncode == 0
    folder = (out / "latest" / "dicom").resolve()
    path = next(path for path in folder.glob("*.dcm") if dcmread(path).Modality == "SR")
    corrected = dcmread(path)
    corrected.PatientComments = "corrected"
    corrected.save_as(path)
    _list_again(folder, path)
    done = mura_batch("send", out / "latest", "--to", orthanc.to)
    assert done.returncode == 3
    assert "another version was sent under this UID" in done.stderr


def _list_again(folder: Path, path: Path) -> None:
    """The table with the changed file's hash."""
    with (folder / "objects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["file"] == path.name:
            row["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    with (folder / "objects.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.slow
def test_an_archive_killed_in_the_middle_gets_the_rest_later(orthanc: Any, out: Path, mura_batch: Run) -> None:
    killed = threading.Thread(target=_kill_when_it_holds, args=(orthanc, 3))
    killed.start()
    done = mura_batch("send", out / "latest", "--to", orthanc.to)
    killed.join()
    assert done.returncode in {1, 3}, done.stderr
    assert "objects are there" not in done.stderr or "not there" in done.stderr
    orthanc.start()
    held = orthanc.instances()
    again = mura_batch("send", out / "latest", "--to", orthanc.to, "--json")
    assert again.returncode == 0, again.stderr
    assert orthanc.instances() == uids(out)
    assert held <= uids(out)


def _kill_when_it_holds(orthanc: Any, count: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(orthanc.get("/instances")) < count:
        time.sleep(0.01)
    orthanc.kill()


def test_a_dry_run_opens_no_connection(out: Path, mura_batch: Run) -> None:
    done = mura_batch("send", out / "latest", "--to", "NOBODY@127.0.0.1:1", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert {line.split()[1] for line in done.stdout.splitlines()} == uids(out)


def test_nobody_there_is_exit_code_one_in_one_line(out: Path, mura_batch: Run) -> None:
    for destination in (("--to", "NOBODY@127.0.0.1:1"),):
        done = mura_batch("send", out / "latest", *destination)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
