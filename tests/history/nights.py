"""Nights in simulation, with everything real but model and clock: `make nights`.

changing  an archive that grows, shrinks, is corrected, moved and half mounted, under a clock that is set back: every
          night's results equal those of scoring the archive from scratch
quiet     an archive that does not change: how much OUT grows and how long a night takes
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "crash"))

import pydicom
from harness import DecoderHere, PlayedRunner

from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.worker import pool
from mura_batch.model_card import Model, load_model
from mura_batch.phantom import PhantomOptions, make_phantoms
from mura_batch.progress import Silent
from mura_batch.resources import engines_folder
from mura_batch.runtime.runner import RunnerOptions
from mura_batch.scoring import pipeline, workplace

START = datetime(2026, 1, 1, 2, 30, tzinfo=UTC)
SET_BACK = 17  # the night before which the clock is set back by 40 days
COMPARED = {"studies": ("row_key", "score"), "images": ("sop_instance_uid", "file", "probability"),
            "skipped": ("file", "reason")}  # fmt: skip


def score(studies: Path, out: Path, model: Model, started: datetime) -> None:
    request = pipeline.ScoreRequest(
        studies=studies, out=out, model=model, policy=IntakePolicy(settle_seconds=0), runner=RunnerOptions(),
        workers=1, truth=None, strict=False, options={}, started=started,
    )  # fmt: skip
    pipeline.run_score(request, Silent())


def results(out: Path) -> dict[str, list[tuple[str, ...]]]:
    """What the newest run says, whichever run computed it first."""
    found = {}
    for table, columns in COMPARED.items():
        with (out / "latest" / f"{table}.csv").open(newline="") as file:
            found[table] = sorted(tuple(row[name] for name in columns) for row in csv.DictReader(file))
    return found


def change(archive: Path, export: Path, aside: Path, draw: random.Random) -> str:
    """One change of the export; what it was."""
    here = sorted(path.name for path in export.iterdir() if path.is_dir())
    known = {path.name.rstrip("x") for folder in (export, aside) for path in folder.iterdir()}
    new = sorted({path.name for path in archive.iterdir() if path.is_dir()} - known)
    kind = draw.choice(["new", "deleted", "moved", "corrected", "half mounted", "back", "nothing"])
    patient = draw.choice(here)
    match kind:
        case "new" if new:
            shutil.copytree(archive / new[0], export / new[0])
        case "deleted" if len(here) > 2:
            shutil.rmtree(export / patient)
        case "moved":
            (export / patient).rename(export / f"{patient}x")
        case "corrected":
            correct(max(path for path in (export / patient).rglob("*") if path.is_file()))
        case "half mounted" if len(here) > 2:
            for name in here[: len(here) // 2]:
                (export / name).rename(aside / name)
        case "back":
            for path in aside.iterdir():
                path.rename(export / path.name)
    return kind


def correct(path: Path) -> None:
    """Other pixels under the same identity."""
    data_set = pydicom.dcmread(path, force=True)
    if "PixelData" in data_set and not data_set.file_meta.TransferSyntaxUID.is_compressed:
        pixels = bytearray(data_set.PixelData)
        pixels[: len(pixels) // 3] = bytes(len(pixels) // 3)
        data_set.PixelData = bytes(pixels)
        data_set.save_as(path)


def changing(work: Path, nights: int, studies: int, seed: int) -> str:
    """Raises AssertionError in the night whose results differ from those of a scoring from scratch."""
    model, draw = load_model(engines_folder() / "reference"), random.Random(seed)
    archive = make_phantoms(work / "archive", PhantomOptions(studies=studies, seed=seed, small=True)).folder
    shutil.rmtree(archive / "EXTRA")  # a copy: once one of two is corrected, the one that was scored first counts
    export, aside, out = work / "export", work / "aside", work / "out"
    export.mkdir()
    aside.mkdir()
    for patient in sorted(path for path in archive.iterdir() if path.is_dir())[: studies // 2 + 1]:
        shutil.copytree(patient, export / patient.name)
    kinds = []
    for night in range(nights):
        kinds.append(change(archive, export, aside, draw) if night else "new")
        at = START + timedelta(days=night - (40 if night >= SET_BACK else 0))
        score(export, out, model, at)
        score(export, work / "scratch", model, at)
        assert results(out) == results(work / "scratch"), f"night {night + 1}, {kinds[-1]}"
        newest = max((out / "runs").iterdir(), key=lambda path: path.stat().st_ctime_ns)
        assert (out / "latest").resolve() == newest.resolve(), f"night {night + 1}: latest"
        shutil.rmtree(work / "scratch")
    assert len(list((out / "runs").iterdir())) == nights
    words = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
    return f"{nights} nights equal to a scoring from scratch: {words}; clock set back before night {SET_BACK + 1}"


def quiet(work: Path, nights: int, files: int) -> str:
    """files: radiographs, copies of one that differ in their UIDs alone."""
    model, export, out = load_model(engines_folder() / "reference"), work / "many", work / "quiet"
    source = make_phantoms(work / "one", PhantomOptions(studies=1, small=True)).folder
    write_many(next(path for path in sorted(source.rglob("IM*")) if path.is_file()), export, files)
    sizes, seconds = [], []
    for night in range(nights + 2):  # the second one says `unchanged` where the first one said `scored`: other bytes
        begun = time.process_time()
        score(export, out, model, START + timedelta(days=night))
        seconds.append(time.process_time() - begun)
        if night in {0, 1, nights + 1}:
            sizes.append(kilobytes(out))
    grown, month = sizes[2] - sizes[1], min(30, nights)
    first, last = (statistics.median(of) for of in (seconds[2 : 2 + month], seconds[-month:]))
    return (
        f"{nights} nights without news on {files} unchanged files: OUT grew by {grown} kB, {grown / nights:.1f} kB a "
        f"night, after {sizes[1] - sizes[0]} kB in the first night after news; a night took {first:.2f} s of processor "
        f"time in the first month, {last:.2f} s in the last (medians)"
    )


def write_many(source: Path, export: Path, files: int) -> None:
    data_set = pydicom.dcmread(source)
    for n in range(files):
        data_set.SOPInstanceUID = data_set.file_meta.MediaStorageSOPInstanceUID = f"2.25.{10**9 + n}"
        data_set.StudyInstanceUID = f"2.25.{10**12 + n // 3}"
        path = export / f"{n // 300:04d}" / f"{n:06d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        data_set.save_as(path)


def kilobytes(out: Path) -> int:
    return int(subprocess.run(["du", "-sk", out], capture_output=True, text=True, check=True).stdout.split()[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changing", type=int, default=30, metavar="NIGHTS")
    parser.add_argument("--studies", type=int, default=8)
    parser.add_argument("--quiet", type=int, default=365, metavar="NIGHTS")
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    os.umask(0o077)
    workplace.open_runner = lambda *_: PlayedRunner()  # type: ignore[assignment, return-value]
    pool.DecodePool = DecoderHere  # type: ignore[assignment, misc]
    with tempfile.TemporaryDirectory(prefix="nights-") as work:
        if options.changing:
            sys.stdout.write(changing(Path(work), options.changing, options.studies, options.seed) + "\n")
            sys.stdout.flush()
        if options.quiet:
            sys.stdout.write(quiet(Path(work), options.quiet, options.files) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
