"""Kills runs of `score` at chosen points and runs them again: the tables must be the same bytes as of runs that nobody
killed. `make crash` runs 200 points; `test_kills.py` a short form.

Starting a program anew for each point would take most of the time: this process runs once itself, then forks a child
for each run. The model is played and files are decoded in the child itself; ledger, tables, report and folders are
real. It is to run with faults.c preloaded.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import FileSystemBytecodeCache

from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.refused import Refused
from mura_batch.dicom.worker import pool
from mura_batch.dicom.worker.child import decode_file
from mura_batch.model_card import load_model
from mura_batch.outputs import html
from mura_batch.phantom import PhantomOptions, make_phantoms
from mura_batch.preprocess import InputSpec
from mura_batch.progress import Silent
from mura_batch.pseudonyms import SECRET_BYTES
from mura_batch.records import Decoded, Instance, Stage, skip_instance
from mura_batch.resources import engines_folder
from mura_batch.runtime.runner import Outputs, RunnerInfo, RunnerOptions
from mura_batch.scoring import header_readers, pipeline, score_commits, workplace
from mura_batch.store.database import Database
from mura_batch.store.secret import SECRET_NAME

TABLES = ("studies.csv", "images.csv", "skipped.csv", "missing.csv")
_KEY = re.compile(rb"\b[0-9a-f]{16}\b")
KINDS = {"write": 1, "torn write": 1, "fsync": 2, "mkdir": 3, "rename": 4, "link": 5}


@dataclass(frozen=True, order=True)
class Point:
    """Where a run is killed: at the at-th call of a kind, after the at-th commit, or at a time (in milliseconds)."""

    kind: str
    at: int


class PlayedRunner:
    """Runner protocol. The probability is the mean brightness: it depends on the picture and on nothing else."""

    info = RunnerInfo("played", "none", "float32", "a test", "1", None)
    batch_size = 2
    busy_seconds = 0.0

    def __enter__(self) -> PlayedRunner:
        return self

    def __exit__(self, *_: object) -> None: ...

    def run(self, batches: Iterable[Any]) -> Iterator[Outputs]:
        for images in batches:
            probability = (images.mean(axis=(1, 2, 3)) / 255).astype(np.float32)
            yield Outputs(probability, np.ones((len(images), 4, 4), np.float32), None)


class DecoderHere:
    """Decoder protocol, in this process."""

    workers, busy_seconds = 1, 0.0

    def __init__(self, root: Path, policy: IntakePolicy, spec: InputSpec, most: int) -> None:
        self._settings = (root, policy, spec)

    def __enter__(self) -> DecoderHere:
        return self

    def __exit__(self, *_: object) -> None: ...

    def arrivals(self, instances: Iterable[Instance], most: int) -> Iterator[list[Any]]:
        root, policy, spec = self._settings
        for instance in instances:
            try:
                content, decisions, picture = decode_file(root, instance, policy, spec)
                yield [(Decoded(instance, content, decisions), picture)]
            except Refused as refused:
                yield [skip_instance(instance, Stage.PIXELS, refused.reason, refused.detail)]


class Harness:
    def __init__(self, work: Path) -> None:
        self.work = work
        self.studies = make_phantoms(work / "studies", PhantomOptions(studies=2, seed=5, small=True)).folder
        self._model = load_model(engines_folder() / "reference")
        self._faults = ctypes.CDLL(None)
        self._faults.faults_count.restype = ctypes.c_long
        workplace.open_runner = lambda *_: PlayedRunner()  # type: ignore[assignment, return-value]
        pool.DecodePool = DecoderHere  # type: ignore[assignment, misc]
        score_commits.COMMIT_SECONDS = 0.0
        header_readers.HEADERS_PER_COMMIT = 4
        cache = work / "templates"
        cache.mkdir()
        html.Environment = partial(html.Environment, bytecode_cache=FileSystemBytecodeCache(cache))  # type: ignore[misc]

    def warm(self) -> None:
        """Two runs in this process: what they import and compile, the forked children need not."""
        for _ in range(2):
            pipeline.run_score(self._request(self.work / "warm"), Silent())
        shutil.rmtree(self.work / "warm")

    def score(self, out: Path, point: Point | None = None) -> dict[str, int]:
        """One run in a forked child, killed at the point. Returns how often each kind of call was made; {} where the
        child was killed. Raises RuntimeError where it ended in another way."""
        _give_secret(out)
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            self._child(out, point, writer)
        os.close(writer)
        if point is not None and point.kind == "time":
            threading.Timer(point.at / 1000, _kill, (child,)).start()
        with os.fdopen(reader) as pipe:
            words = pipe.read()
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            return {}
        if status:
            raise RuntimeError(f"the run ended with status {status} after {point}: {words}")
        return {kind: int(count) for kind, count in (word.rsplit(":", 1) for word in words.split(";"))}

    def _child(self, out: Path, point: Point | None, writer: int) -> None:
        try:
            commits = _count_commits(point.at if point and point.kind == "commit" else 0)
            if point is not None and point.kind in KINDS:
                self._faults.faults_arm(KINDS[point.kind], ctypes.c_long(point.at), int(point.kind == "torn write"))
            else:
                self._faults.faults_arm(0, ctypes.c_long(0), 0)
            pipeline.run_score(self._request(out), Silent())
            counts = {kind: self._faults.faults_count(number) for kind, number in KINDS.items()}
            self._faults.faults_arm(0, ctypes.c_long(0), 0)
            counts["commit"] = commits()
            os.write(writer, ";".join(f"{kind}:{count}" for kind, count in counts.items()).encode())
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the parent reports it
            os.write(writer, repr(error).encode())
            os._exit(1)

    def _request(self, out: Path) -> pipeline.ScoreRequest:
        return pipeline.ScoreRequest(
            studies=self.studies, out=out, model=self._model, policy=IntakePolicy(settle_seconds=0),
            runner=RunnerOptions(), workers=1, truth=None, strict=False, options={},
        )  # fmt: skip


def _give_secret(out: Path) -> None:
    """The same in every OUT, so that keys are comparable."""
    out.mkdir(mode=0o700, exist_ok=True)
    if not (out / SECRET_NAME).exists():
        (out / SECRET_NAME).write_text("00" * SECRET_BYTES)
        (out / SECRET_NAME).chmod(0o600)


def _kill(child: int) -> None:
    try:
        os.kill(child, signal.SIGKILL)
    except ProcessLookupError:  # it had ended
        return


def _count_commits(last: int) -> Callable[[], int]:
    """Counts transactions, and kills the process after the one numbered `last`."""
    count, real = [0], Database.writing

    @contextmanager
    def writing(self: Database) -> Iterator[None]:
        with real(self):
            yield
        count[0] += 1
        if count[0] == last:
            os.kill(os.getpid(), signal.SIGKILL)

    Database.writing = writing  # type: ignore[method-assign]
    return lambda: count[0]


def published(out: Path) -> list[Path]:
    runs = out / "runs"
    return sorted(path for path in runs.iterdir() if not path.name.startswith(".")) if runs.is_dir() else []


def tables(run: Path) -> dict[str, bytes]:
    """The bytes of the tables, but for keys, which each OUT makes by its own secret, and how many pictures the report
    shows."""
    shown = (run / "report.html").read_text(encoding="utf-8").count("data:image/jpeg")
    return {name: _KEY.sub(b"key", (run / name).read_bytes()) for name in TABLES} | {"pictures": str(shown).encode()}


def index_is_whole(out: Path, runs: Iterable[Path] = ()) -> bool:
    """runs: it must link to each."""
    path = out / "index.html"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return (not text or text.rstrip().endswith("</html>")) and all(f"runs/{run.name}/" in text for run in runs)


def make_stale(folder: Path) -> None:
    """What a kill left becomes older than any write that is still going."""
    for path in folder.rglob(".*.tmp*"):
        os.utime(path, (0, 0), follow_symlinks=False)


def check(harness: Harness, expected: list[dict[str, bytes]], point: Point) -> bool:
    """Kills a run at the point and runs twice more. Whether the run was killed. Raises AssertionError."""
    out = Path(tempfile.mkdtemp(dir=harness.work))
    killed = not harness.score(out, point)
    try:
        harness.score(out)
        harness.score(out)
    except RuntimeError as error:
        raise AssertionError(f"{point}: a later run failed") from error
    runs = published(out)
    assert index_is_whole(out, runs), f"{point}: the index lacks a run"
    for n, run in enumerate(runs):
        for name, content in tables(run).items():
            assert content == expected[min(n, 1)][name], f"{point}: {name} of run {n + 1} of {len(runs)} differs"
    assert len(runs) >= 2, f"{point}: {len(runs)} runs are published"
    assert (out / "latest").resolve() == runs[-1].resolve(), f"{point}: latest is not the newest run"
    assert not list((out / "runs").glob(".*")), f"{point}: a half-written folder is left"
    shutil.rmtree(out)
    return killed


def choose(counts: dict[str, int], milliseconds: int, points: int, seed: int) -> list[Point]:
    """Distinct points, spread over the kinds: a fifth at random times."""
    every = [Point(kind, at) for kind, count in counts.items() for at in range(1, count + 1)]
    times = [Point("time", at) for at in range(1, milliseconds)]
    draw = random.Random(seed)
    timed = draw.sample(times, min(points // 5, len(times)))
    return sorted(draw.sample(every, min(points - len(timed), len(every))) + timed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crash-") as work:
        harness = Harness(Path(work))
        harness.warm()
        begun = time.perf_counter()
        counts = harness.score(Path(work) / "undisturbed")
        milliseconds = int(1000 * (time.perf_counter() - begun))
        harness.score(Path(work) / "undisturbed")
        expected = [tables(run) for run in published(Path(work) / "undisturbed")]
        assert expected[0] != expected[1], "the second run has nothing unchanged"
        points = choose(counts, milliseconds, options.points, options.seed)
        killed = sum(check(harness, expected, point) for point in points)
    calls = ", ".join(f"{count} of {kind}" for kind, count in counts.items())
    sys.stdout.write(f"{len(points)} distinct points of {calls}, {milliseconds} ms: {killed} runs killed, all equal\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
