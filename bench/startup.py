"""Start-up time: `--help`, and `score` of one small study, as whole processes."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from bench.result import Figure
from bench.whole import COMMAND, score_command
from mura_batch.phantom import PhantomOptions, make_phantoms
from mura_batch.store.database import LEDGER_NAME

SECTION = "Start-up, whole processes"


def startup(model: Path, work: Path) -> list[Figure]:
    """The first `score` measures parity and compiles the network; the second reads both from OUT/cache; the others
    find nothing new."""
    helps = min(_seconds([*COMMAND, "--help"]) for _ in range(5))
    export = make_phantoms(work / "export", PhantomOptions(studies=1, small=True)).folder
    figures = [Figure(SECTION, "--help", helps, "< 0.3", unit="s")]
    out, score = work / "out", score_command(export, work / "out", model)
    for name, target in (("score of one small study, first start", "< 2"), ("again, compiled network kept", "< 0.9")):
        (out / LEDGER_NAME).unlink(missing_ok=True)
        figures.append(Figure(SECTION, name, _seconds(score), target, unit="s"))
    _seconds(score)  # says that nothing is new
    figures.append(Figure(SECTION, "a night without news", min(_seconds(score) for _ in range(5)), "< 0.4", unit="s"))
    return figures


def _seconds(command: list[str]) -> float:
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - our own program
    if done.returncode not in {0, 3}:  # 3: a phantom export holds a truncated file
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.decode()[-500:]}")
    return time.perf_counter() - begun
