"""Decoding in worker processes: a native codec that crashes, hangs or takes too much memory costs its file and no
other.

A thread for each process sends it a file, waits no longer than the time limit, and starts another process when this one
is lost. Model inputs (100 kB at 320 px) come back through a socket.

A pool begins with a few processes and doubles them, up to its limit, as long as the consumer waits for pictures: where
the model is the slower part, on a processor of many cores, most of them would only hold memory.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.worker.child import READY, Question, Settings
from mura_batch.errors import MuraBatchError
from mura_batch.preprocess import InputSpec
from mura_batch.records import Decoded, Instance, PixelDecisions, Reason, Skipped, Stage, skip_instance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Item: TypeAlias = "tuple[Decoded, NDArray[np.uint8]] | Skipped"
FIRST = 2  # processes that a pool begins with
AHEAD = 8  # files in flight a worker: enough that none waits while the parent stores a batch
_STARTS = 3  # tries: a process may be killed while it starts, when the machine is short of memory for a moment
_START_TIMEOUT = 120.0  # seconds for a process to import numpy and the codecs on a busy machine
_STEP = 0.25  # seconds: how soon a run that ends stops to wait for a decoder that hangs


class DecodePool:
    """`with DecodePool(root, policy, spec, most) as pool: for item in pool.decode(instances)`. most: processes."""

    def __init__(self, root: Path, policy: IntakePolicy, spec: InputSpec, most: int) -> None:
        self._settings: Settings = (root, policy, spec)
        self._most = most
        self._inbox: queue.SimpleQueue[Instance | None] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[Item | BaseException] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._busy = [0.0] * most
        self._since = 0  # results since the pool last grew
        self._closing = threading.Event()

    def __enter__(self) -> Self:
        self._add(FIRST)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        for _ in self._threads:
            self._inbox.put(None)
        for thread in self._threads:
            thread.join()

    @property
    def workers(self) -> int:
        """Processes so far."""
        return len(self._threads)

    @property
    def busy_seconds(self) -> float:
        """Of all processes together, their start included."""
        return sum(self._busy)

    def decode(self, instances: Iterable[Instance]) -> Iterator[Item]:
        """The model input [S, S] uint8 of each, or why there is none, in the order of arrival; with policy.voi_check,
        its alternatives before it. Takes from `instances` only what is in flight: memory does not grow with their
        number."""
        for (item,) in self.arrivals(instances, 1):
            yield item

    def arrivals(self, instances: Iterable[Instance], most: int) -> Iterator[list[Item]]:
        """As `decode`, but each time all that has arrived by then: one item, waited for, to `most`."""
        source, waiting = iter(instances), 0
        while True:
            for instance in islice(source, AHEAD * self.workers - waiting):
                self._inbox.put(instance)
                waiting += 1
            if not waiting:
                return
            # None is ready: decoding is the slower part, unless its processes are still starting.
            if self._outbox.empty() and self._since >= self.workers:
                self._add(self.workers)
            arrived = [self._next()]
            while len(arrived) < most and not self._outbox.empty():
                arrived.append(self._next())
            finished = sum(isinstance(item, Skipped) or not item[0].is_alternative for item in arrived)
            waiting -= finished
            self._since += finished
            yield arrived

    def _add(self, count: int) -> None:
        for number in range(self.workers, min(self.workers + count, self._most)):
            thread = threading.Thread(target=self._serve, args=(number,), daemon=True)
            self._threads.append(thread)
            thread.start()
        self._since = 0

    def _next(self) -> Item:
        item = self._outbox.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def _serve(self, number: int) -> None:
        """Runs in a thread: sends its process one file after another."""
        child = Child(self._settings, self._closing)
        try:
            child.start()  # while the model is loaded
            while (instance := self._inbox.get()) is not None and not self._closing.is_set():
                begun = time.perf_counter()
                items = child.decode(instance)
                self._busy[number] += time.perf_counter() - begun
                for item in items:
                    self._outbox.put(item)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that reads the results
            self._outbox.put(error)
        finally:
            child.end()


class Child:
    """One worker process and the socket to it; started when it is first needed, and again when it was lost."""

    def __init__(self, settings: Settings, closing: threading.Event) -> None:
        self._settings, self._closing = settings, closing
        self._timeout = settings[1].decode_timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None

    def start(self) -> None:
        """Starts the process before it is needed."""
        self._ready()

    def decode(self, instance: Instance) -> list[Item]:
        """The picture or its refusal, its alternatives before it."""
        pipe = self._ready()
        try:
            pipe.send(instance)
            if not self._wait(pipe):
                self.end()
                detail = f"not decoded within {self._timeout:g} s"
                return [skip_instance(instance, Stage.PIXELS, Reason.WORKER_TIMEOUT, detail)]
            reply = json.loads(pipe.recv_bytes())
            if "reason" in reply:
                return [self._refusal(instance, reply)]
            pictures = [pipe.recv_bytes() for _ in reply["decisions"]]
        except (EOFError, OSError):
            detail = f"the decoder's process ended ({_how_it_ended(self.end())})"
            return [skip_instance(instance, Stage.PIXELS, Reason.WORKER_CRASHED, detail)]
        return _decoded(instance, reply, pictures)

    def ask(self, question: Question) -> tuple[dict[str, Any], bytes] | None:
        """The answer and the bytes that follow it; the `reason` and none where the file is refused; None where the
        process is lost with it."""
        pipe = self._ready()
        try:
            pipe.send(question)
            if self._wait(pipe):
                answer = json.loads(pipe.recv_bytes())
                if "reason" not in answer:
                    return answer, pipe.recv_bytes()
                if answer["reason"] != Reason.WORKER_MEMORY:
                    return answer, b""
        except (EOFError, OSError):
            pass  # ended below
        self.end()
        return None

    def _refusal(self, instance: Instance, reply: dict[str, Any]) -> Skipped:
        reason = Reason(reply["reason"])
        if reason is Reason.WORKER_MEMORY:
            self.end()
        return skip_instance(instance, Stage.PIXELS, reason, reply["detail"])

    def _wait(self, pipe: Connection) -> bool:
        for _ in range(max(1, round(self._timeout / _STEP))):
            if pipe.poll(_STEP):
                return True
            if self._closing.is_set():
                return False
        return False

    def _ready(self) -> Connection:
        code = None
        for _ in range(_STARTS):
            if self._pipe is not None or self._start():
                assert self._pipe is not None  # noqa: S101 - _start has set it
                return self._pipe
            code = self.end()
        raise MuraBatchError(f"decode workers do not start ({_how_it_ended(code)}): is memory limited by `ulimit -v`?")

    def _start(self) -> bool:
        """Whether the process says that it is ready."""
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "mura_batch.dicom.worker.child", str(theirs.fileno())]
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=child_environment(),
                process_group=0,  # Ctrl-C in the terminal is the parent's
            )
        self._pipe = Connection(ours.detach())
        try:
            self._pipe.send(self._settings)
            return self._pipe.poll(_START_TIMEOUT) and self._pipe.recv_bytes() == READY
        except (EOFError, OSError):
            return False

    def end(self) -> int | None:
        """Ends the process; returns its exit code."""
        if self._process is None or self._pipe is None:
            return None
        self._pipe.close()  # an idle process ends by itself
        try:
            self._process.wait(0.5)  # one that crashed has its own code
        except subprocess.TimeoutExpired:
            self._process.kill()
        code = self._process.wait()
        self._process, self._pipe = None, None
        return code


# glibc returns blocks of 128 kB and more to the kernel as soon as they are freed, and the kernel clears them again for
# the next picture: a tenth of the time of decoding. Blocks of up to 32 MB, the most it allows, and 256 MB at the end of
# the heap stay with the process.
_MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(256 << 20)}


# What a worker gets of the parent's environment: where Python and its libraries are, and how file names are encoded.
# The rest may hold passwords, and a worker reads hostile files.
_INHERITED = (
    "HOME", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONHOME", "PYTHONUTF8",
    "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONNOUSERSITE", "MALLOC_ARENA_MAX", *_MALLOC,
)  # fmt: skip


def child_environment() -> dict[str, str]:
    """The child imports the package that the parent runs, installed or not, and each codec uses one thread: the pool
    has a process for each core."""
    package = str(Path(__file__).resolve().parents[3])
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return {
        **_MALLOC,
        **{name: os.environ[name] for name in _INHERITED if name in os.environ},
        "PYTHONPATH": os.pathsep.join([*paths, package]),
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


def _decoded(instance: Instance, reply: dict[str, Any], pictures: list[bytes]) -> list[Item]:
    import numpy as np

    items: list[Item] = []
    for number, (values, pixels) in enumerate(zip(reply["decisions"], pictures, strict=True)):
        decisions = PixelDecisions(**{**values, "flags": tuple(values["flags"]), "voi_scores": ()})
        decoded = Decoded(instance, reply["hash"], decisions, is_alternative=number > 0)
        items.append((decoded, np.frombuffer(pixels, np.uint8).reshape(reply["size"], reply["size"])))
    return [*items[1:], items[0]]


def _how_it_ended(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"
