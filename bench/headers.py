"""`python -m bench.headers TREE FOLDER ...`: the CPU time of reading headers, this tree beside another checkout.

Each tree runs in a process of its own; both read the same folder in turn, and the least time of many rounds counts. The
files are in the page cache, and what a reader remembers of earlier headers it remembers here too.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
READERS = ("mura_batch.dicom.header.reader", "mura_batch.dicom.header")  # where read_header is, today and earlier
READ = 120  # headers in a round: a longer round is interrupted by other processes


class Side:
    """A process that reads headers with the code of a tree."""

    def __init__(self, tree: Path) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - this file
            [sys.executable, "-P", __file__, "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(tree.resolve())},
        )

    def read(self, folder: Path) -> tuple[float, int]:
        """(microseconds a file, files)."""
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: S101, PT018 - both are pipes
        self._process.stdin.write(f"{folder}\n")
        self._process.stdin.flush()
        microseconds, files = json.loads(self._process.stdout.readline())
        return microseconds, files

    def end(self) -> None:
        self._process.communicate()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.headers", description=__doc__.splitlines()[0])
    parser.add_argument("tree", type=Path, help="the other checkout")
    parser.add_argument("folders", type=Path, nargs="+", help="of DICOM files")
    parser.add_argument("--rounds", type=int, default=60, help="of which the least counts (60)")
    chosen = parser.parse_args()
    sides = Side(chosen.tree), Side(ROOT)
    for folder in chosen.folders:
        _, files = sides[0].read(folder)
        times = [[side.read(folder)[0] for side in sides] for _ in range(chosen.rounds)]
        before, after = map(min, zip(*times, strict=True))
        line = f"{folder.name:<32} {files:>5} files {before:8.1f} {after:8.1f} us a file, ratio {after / before:.2f}\n"
        sys.stdout.write(line)
    for side in sides:
        side.end()


def serve() -> None:
    """Answers each folder on stdin with the time of reading it."""
    policy = importlib.import_module("mura_batch.dicom.policy").IntakePolicy(settle_seconds=0)
    read = _reader()
    known: dict[str, list[Any]] = {}
    for line in sys.stdin:
        folder = Path(line.rstrip("\n"))
        if (sources := known.get(line)) is None:
            found = importlib.import_module("mura_batch.dicom.discover").discover(folder, policy)
            sources = known[line] = [item for item in found if type(item).__name__ == "SourceFile"]
        rounds = max(1, READ // len(sources))
        begun = time.process_time()
        for _ in range(rounds):
            for source in sources:
                read(folder, source, policy)
        took = time.process_time() - begun
        sys.stdout.write(json.dumps([took / rounds / len(sources) * 1e6, len(sources)]) + "\n")
        sys.stdout.flush()


def _reader() -> Any:
    for name in READERS:
        try:
            return importlib.import_module(name).read_header
        except (ImportError, AttributeError):
            continue
    raise SystemExit("this tree has no read_header")


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["--serve"] else main()
