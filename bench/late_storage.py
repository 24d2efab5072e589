"""`python -m bench.late_storage`: a night on which nothing is new, over an archive on a mount where each
call waits a millisecond, beside the same night on the local disk. The mount is played by `late_calls.c`; it needs gcc.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.known_archive import ROOT, fill, night
from bench.many import PER_STUDY, make_model, make_tree
from bench.result import Figure, table
from mura_batch.store.database import LEDGER_NAME

SECTION = "An unchanged archive on a mount with 1 ms a call"
WAIT = 1000  # microseconds a call


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.late_storage", description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=20_000, help="of the archive (20,000)")
    parser.add_argument("--work", type=Path, default=Path("build"), help="where it is made (build)")
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="late-", dir=chosen.work) as folder:
        sys.stdout.write(table(measure(Path(folder).resolve(), chosen.files)) + "\n")


def measure(work: Path, count: int) -> list[Figure]:
    """work: absolute."""
    work.mkdir(parents=True, exist_ok=True)
    studies, out, model = work / "studies", work / "out", make_model(ROOT / "engines" / "reference", work / "model")
    make_tree(studies, PER_STUDY)
    night(studies, out, model)
    fill(studies, out / LEDGER_NAME, count)
    for _ in range(2):  # the first says that nothing is new, the second that nothing has changed
        night(studies, out, model)
    library = work / "late_calls.so"
    source = Path(__file__).with_name("late_calls.c")
    command = ["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True)  # noqa: S603 - our own source
    late = {"LD_PRELOAD": str(library), "LATE_FOLDER": str(studies), "LATE_US": str(WAIT)}
    local = min(night(studies, out, model)[1] for _ in range(3))
    os.environ.update(late)
    mounted = min(night(studies, out, model)[1] for _ in range(3))
    for name in late:
        del os.environ[name]
    return [
        Figure(SECTION, f"{count:,} files, local disk", local, unit="s"),
        Figure(SECTION, f"{count:,} files, mounted", mounted, unit="s"),
        Figure(SECTION, "more than on the local disk", mounted - local, "< 1.5", unit="s"),
    ]


if __name__ == "__main__":
    main()
