"""`make demo`: the life of an OUT in three nights over a growing archive of drawn studies.

night 1   a first export
night 2   a new study, and a file that was corrected
night 3   a folder that is not mounted, and the truth, which arrives now
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

STUDIES = 9
SEED = 7


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="is removed and made anew")
    parser.add_argument("--studies", type=int, default=STUDIES)
    options = parser.parse_args()
    folder: Path = options.folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    archive, export, out = folder / "archive", folder / "studies", folder / "out"
    _run("phantom", archive, "--studies", options.studies, "--seed", SEED)
    for number, (words, night) in enumerate(NIGHTS, start=1):
        sys.stdout.write(f"\nnight {number}: {words}\n")
        sys.stdout.flush()
        truth = night(archive, export)
        _run("score", export, "--out", out, "--settle", 0, *(("--truth", truth) if truth else ()))
    sys.stdout.write("\n")
    sys.stdout.flush()
    _run("runs", "--out", out)
    sys.stdout.write(f"\nAll nights:  {out / 'index.html'}\nLast report: {out / 'latest' / 'report.html'}\n")
    return 0


def first_export(archive: Path, export: Path) -> Path | None:
    """All but the last patient."""
    shutil.copytree(archive, export, ignore=lambda _, names: {"truth.csv", _patients(archive)[-1].name} & set(names))
    return None


def new_study_and_correction(archive: Path, export: Path) -> Path | None:
    """The last patient arrives. A file of the third patient was sent again, with a comment in its header: the first one
    has a copy elsewhere in the export, which would now conflict with it."""
    new = _patients(archive)[-1]
    shutil.copytree(new, export / new.name)
    corrected = min(path for path in _patients(export)[2].rglob("*") if path.is_file())
    _correct(corrected)
    return None


def missing_folder_and_truth(archive: Path, export: Path) -> Path | None:
    """The second patient's folder is gone; radiologists have read the studies."""
    shutil.rmtree(_patients(export)[1])
    return archive / "truth.csv"


Night = Callable[[Path, Path], Path | None]  # changes the export; the truth of this night, if there is any
NIGHTS: tuple[tuple[str, Night], ...] = (
    ("a first export", first_export),
    ("a new study, and a file that was corrected", new_study_and_correction),
    ("a folder that is missing, and truth that arrives", missing_folder_and_truth),
)


def _patients(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name.startswith("PA0"))


def _correct(path: Path) -> None:
    import pydicom

    data_set = pydicom.dcmread(path)
    data_set.ImageComments = "sent again: corrected"
    data_set.save_as(path)


def _run(*words: object) -> None:
    """Exit code 3 says that a file cannot be read: the drawn export holds one."""
    done = subprocess.run([sys.executable, "-m", "mura_batch", *map(str, words)], check=False)  # noqa: S603 - our own
    if done.returncode not in {0, 3}:
        sys.exit(done.returncode)


if __name__ == "__main__":
    sys.exit(main())
