"""File -> model input, on one core: CPU time of ours beside the peer's, by transfer syntax.

Each side runs in a process of its own (`python -m bench.decoding ours|peer SIZE`, paths on standard input, milliseconds
as JSON on standard output), ours with the environment that its decode workers get.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.result import Figure, ratio

REPEATS = 3


def decoding(files: dict[str, list[Path]], size: int, rounds: int = 2) -> list[Figure]:
    """Figures by syntax, and over the mix. The two sides take turns."""
    totals = {"ours": 0.0, "peer": 0.0}
    figures = []
    for syntax, paths in files.items():
        ours, peer = _pair(paths, size, rounds)
        totals["ours"], totals["peer"] = totals["ours"] + ours, totals["peer"] + peer
        target = ">= 10" if syntax == "JPEG 2000" else ""
        figures.append(ratio("Decode and prepare, CPU time of one core", syntax, (ours, peer), "ms", target))
    mix = (totals["ours"] / len(files), totals["peer"] / len(files))
    return [*figures, ratio("Decode and prepare, CPU time of one core", "the mix", mix, "ms", ">= 6")]


def _pair(paths: list[Path], size: int, rounds: int) -> tuple[float, float]:
    ours, peer = [], []
    for _ in range(rounds):
        ours.append(_mean(_measured("ours", paths, size)))
        peer.append(_mean(_measured("peer", paths, size)))
    return min(ours), min(peer)


def _mean(values: list[float]) -> float:
    return statistics.fmean(values)


def _measured(side: str, paths: list[Path], size: int) -> list[float]:
    from mura_batch.dicom.worker.pool import child_environment

    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "bench.decoding", side, str(size)],
        input="\n".join(map(str, paths)), capture_output=True, text=True, check=True,
        env=child_environment() if side == "ours" else None,
    )  # fmt: skip
    milliseconds: list[float] = json.loads(done.stdout)
    return milliseconds


def _ours(size: int) -> Callable[[Path], object]:
    from mura_batch.dicom.header.reader import read_header
    from mura_batch.dicom.policy import IntakePolicy
    from mura_batch.dicom.worker.child import Buffer, decode_file
    from mura_batch.preprocess import InputSpec
    from mura_batch.records import Instance, SourceFile

    policy, spec, buffer = IntakePolicy(settle_seconds=0), InputSpec(size=size), Buffer()

    def read(path: Path) -> object:
        info = path.stat()
        source = SourceFile(path.name, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
        instance = read_header(path.parent, source, policy)
        assert isinstance(instance, Instance)  # noqa: S101 - the benchmark wrote it
        return decode_file(path.parent, instance, policy, spec, buffer)

    return read


def _peer(size: int) -> Callable[[Path], object]:
    from bench.peer import read

    return lambda path: read(path, size)


def main() -> None:
    side, size = sys.argv[1], int(sys.argv[2])
    read = (_ours if side == "ours" else _peer)(size)
    paths = [Path(line) for line in sys.stdin.read().splitlines()]
    for path in paths[:2]:
        read(path)  # imports, and the decoder's tables
    milliseconds = []
    for path in paths:
        times = []
        for _ in range(REPEATS):
            begun = time.process_time()
            read(path)
            times.append(1000 * (time.process_time() - begun))
        milliseconds.append(statistics.median(times))
    print(json.dumps(milliseconds))  # noqa: T201 - what the parent reads


if __name__ == "__main__":
    main()
