"""`python -m bench.profiling STUDIES`: CPU time of a decode worker by function, in one process."""

from __future__ import annotations

import cProfile
import pstats
import sys
import time
from pathlib import Path

from bench.fidelity import instances_of
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.worker.child import Buffer, decode_file
from mura_batch.preprocess import InputSpec

SHOWN = 12  # functions


def profile(folder: Path, size: int) -> list[str]:
    """One line a function, the greatest share of own time first."""
    policy, spec, buffer = IntakePolicy(settle_seconds=0), InputSpec(size=size), Buffer()
    instances = list(instances_of(folder))
    profiler = cProfile.Profile(time.process_time)
    for number in range(2):  # the first round imports
        if number:
            profiler.enable()
        for instance in instances:
            decode_file(folder, instance, policy, spec, buffer)
    profiler.disable()
    stats = pstats.Stats(profiler)
    own = {key: values[2] for key, values in stats.stats.items()}  # type: ignore[attr-defined]
    total = sum(own.values())
    lines = [f"{len(instances)} files, {1000 * total / len(instances):.1f} ms of one core each"]
    for (path, _, name), seconds in sorted(own.items(), key=lambda item: -item[1])[:SHOWN]:
        lines.append(f"{100 * seconds / total:5.1f} %  {Path(path).name} {name}")
    return lines


if __name__ == "__main__":
    sys.stdout.write("\n".join(profile(Path(sys.argv[1]), 320)) + "\n")
