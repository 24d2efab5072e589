"""The pool of decode processes, and the processes that die."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from mura_batch.dicom import syntax as syntaxes
from mura_batch.dicom.discover import discover
from mura_batch.dicom.header.reader import read_header
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.worker.pool import AHEAD, FIRST, DecodePool
from mura_batch.errors import MuraBatchError
from mura_batch.preprocess import InputSpec
from mura_batch.records import Instance, Reason, Skipped, SourceFile

Write = Callable[..., Path]
Intake = Callable[..., dict[str, Any]]
POLICY = IntakePolicy(settle_seconds=0)
SPEC = InputSpec(size=64)


def instances(root: Path, policy: IntakePolicy = POLICY) -> list[Instance]:
    found = [read_header(root, item, policy) for item in discover(root, policy) if isinstance(item, SourceFile)]
    return [record for record in found if isinstance(record, Instance)]


def names(answers: dict[str, Any]) -> dict[str, str]:
    return {name: str(answer.reason) if isinstance(answer, Skipped) else "decoded" for name, answer in answers.items()}


def test_each_instance_returns_once_with_input_and_hash(write: Write, intake: Intake) -> None:
    paths = {f"{n}": write(f"{n}", PatientID=f"{n}") for n in range(7)}
    found = intake(workers=2)
    assert names(found) == dict.fromkeys(paths, "decoded")
    decoded, pixels = found["3"]
    assert decoded.content_hash == hashlib.sha256(paths["3"].read_bytes()).hexdigest()
    assert (pixels.shape, pixels.dtype) == ((64, 64), np.uint8)
    assert decoded.decisions.decoder == "native"


def test_inputs_do_not_depend_on_workers_or_names(write: Write, intake: Intake) -> None:
    for n, syntax in enumerate([syntaxes.EXPLICIT_LE, syntaxes.RLE, syntaxes.JPEG_LOSSLESS_SV1] * 2):
        write(f"{n}/deep/{n}", syntax=syntax, PatientID=f"{n}", WindowCenter=2048, WindowWidth=4096)
    one, three = intake(workers=1), intake(workers=3)
    assert one.keys() == three.keys()
    for name, (_, pixels) in one.items():
        assert np.array_equal(pixels, three[name][1])
        assert np.array_equal(pixels, one["0/deep/0"][1])


def test_a_million_instances_would_not_be_held_at_once(write: Write, studies: Path) -> None:
    write("a")
    (instance,) = instances(studies)
    taken = 0

    def endless() -> Iterator[Instance]:
        nonlocal taken
        while True:
            taken += 1
            yield instance

    with DecodePool(studies, POLICY, SPEC, 1) as pool:
        stream = pool.decode(endless())
        for _ in range(3):
            next(stream)
        assert taken <= AHEAD + 3


@pytest.mark.parametrize(("waits", "workers"), [(True, 5), (False, FIRST)])
def test_processes_are_added_while_the_consumer_waits(write: Write, studies: Path, waits: bool, workers: int) -> None:
    """5: all that the pool may have. Whoever is slower than decoding finds a picture ready each time."""
    write("a")
    (instance,) = instances(studies)
    with DecodePool(studies, POLICY, SPEC, 5) as pool:
        assert pool.workers == FIRST
        stream = pool.decode(instance for _ in range(150 if waits else 40))
        for n, _ in enumerate(stream):
            if not waits and n:
                time.sleep(0.05)
            elif not waits:
                time.sleep(3)  # both processes have started, and what is in flight is decoded
        assert pool.workers == workers
    assert pool.busy_seconds > 0


def test_a_file_changed_since_its_header_is_not_scored(write: Write, studies: Path) -> None:
    write("a")
    found = instances(studies)
    os.utime(studies / "a", (1, 1))
    with DecodePool(studies, POLICY, SPEC, 1) as pool:
        (answer,) = pool.decode(found)
    assert isinstance(answer, Skipped)
    assert answer.reason is Reason.CHANGED_WHILE_READ


def test_a_file_that_went_away_is_unreadable(write: Write, studies: Path) -> None:
    write("a")
    found = instances(studies)
    (studies / "a").unlink()
    with DecodePool(studies, POLICY, SPEC, 1) as pool:
        (answer,) = pool.decode(found)
    assert isinstance(answer, Skipped)
    assert (answer.reason, answer.detail) == (Reason.UNREADABLE_FILE, "No such file or directory")
    assert (answer.study_uid, answer.region) == ("1.2.3.4", "hand")


STUB = """
# Loaded by the worker's interpreter before anything else: stands in for a decoder with a bug.
import ctypes, os, sys, time

def stub(stream, layout):
    if layout.rows == 66: ctypes.string_at(0)
    if layout.rows == 67: time.sleep(3600)
    if layout.rows == 68: bytearray(1 << 40)
    if layout.rows == 69: os.write(2, b"libfoo: error: bad marker" * 100); os.write(1, b"noise")
    if layout.rows == 70: keep = [bytearray(1 << 24) for _ in range(1 << 20)]
    if layout.rows == 71: os._exit(7)
    return rle(stream, layout)

if "mura_batch.dicom.worker.child" in sys.orig_argv:
    import mura_batch.dicom.pixels.codecs as codecs
    rle, decoder = codecs._RAW["rle"]
    codecs._RAW["rle"] = stub, decoder
"""
FATES = {
    66: Reason.WORKER_CRASHED,
    67: Reason.WORKER_TIMEOUT,
    68: Reason.WORKER_MEMORY,
    70: Reason.WORKER_MEMORY,
    71: Reason.WORKER_CRASHED,
}


@pytest.fixture
def _stub_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stub").mkdir()
    (tmp_path / "stub" / "sitecustomize.py").write_text(STUB)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "stub"))


@pytest.mark.usefixtures("_stub_decoder")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_failing_decoder_costs_its_file_only(
    write: Write, intake: Intake, limb: np.ndarray, workers: int, capfd: pytest.CaptureFixture[str]
) -> None:
    for rows in range(60, 76):
        write(f"{rows}", stored=limb[:rows, :60].copy(), syntax=syntaxes.RLE)
    policy = IntakePolicy(settle_seconds=0, decode_timeout=5.0, worker_memory=256 << 20)
    start = time.perf_counter()
    found = intake(policy, workers=workers)
    assert names(found) == {f"{rows}": str(FATES.get(rows, "decoded")) for rows in range(60, 76)}
    assert time.perf_counter() - start < 60
    assert "SIGSEGV" in found["66"].detail
    assert "exit code 7" in found["71"].detail
    assert "256 MiB" in found["68"].detail
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")  # native chatter does not reach the terminal


def test_a_killed_worker_costs_its_file_only(write: Write, studies: Path) -> None:
    for n in range(40):
        write(f"{n:02}", PatientID=f"{n}", syntax=syntaxes.JPEG_2000_LOSSLESS)
    killed = []
    answers = []
    with DecodePool(studies, POLICY, SPEC, 2) as pool:
        for answer in pool.decode(instances(studies)):
            answers.append(answer)
            if len(answers) == 3:
                victim = next(
                    p
                    for p in psutil.Process().children(recursive=True)
                    if "mura_batch.dicom.worker.child" in p.cmdline()
                )
                killed.append(victim.pid)
                victim.send_signal(signal.SIGKILL)
    lost = [answer for answer in answers if isinstance(answer, Skipped)]
    assert len(answers) == 40
    assert len(lost) <= 1  # none, if it fell between two files
    assert all((answer.reason, "SIGKILL" in answer.detail) == (Reason.WORKER_CRASHED, True) for answer in lost)
    assert killed


@pytest.mark.parametrize(("deaths", "starts"), [(2, True), (3, False)])
def test_a_worker_killed_at_start_is_started_again(
    write: Write, studies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deaths: int, starts: bool
) -> None:
    """Seen on a busy machine: one death at the start ended the whole run. One that always dies still does."""
    (tmp_path / "deadly").mkdir()
    (tmp_path / "deadly" / "sitecustomize.py").write_text(
        "import os, pathlib, signal\n"
        f"deaths = pathlib.Path({str(tmp_path / 'deaths')!r})\n"
        "count = len(deaths.read_text()) if deaths.exists() else 0\n"
        f"if count < {deaths}:\n"
        "    deaths.write_text('x' * (count + 1))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "deadly"))
    write("a")
    with DecodePool(studies, POLICY, SPEC, 1) as pool:
        if starts:
            (answer,) = pool.decode(instances(studies))
            assert not isinstance(answer, Skipped)
        else:
            with pytest.raises(MuraBatchError, match=r"do not start .signal SIGKILL"):
                list(pool.decode(instances(studies)))
    assert len((tmp_path / "deaths").read_text()) == deaths


def test_a_file_replaced_by_a_pipe_blocks_nothing(write: Write, studies: Path) -> None:
    for name in ("a", "b", "c"):
        write(name)
    policy = IntakePolicy(settle_seconds=0, decode_timeout=60.0)
    found = instances(studies, policy)
    (studies / "b").unlink()
    os.mkfifo(studies / "b")
    with DecodePool(studies, policy, SPEC, 1) as pool:
        answers = {
            a.source.path if isinstance(a, Skipped) else a[0].instance.source.path: a for a in pool.decode(found)
        }
    assert names(answers) == {"a": "decoded", "b": "unreadable_file", "c": "decoded"}


def test_leaving_the_pool_early_ends_its_processes(write: Write, studies: Path) -> None:
    write("a")
    with DecodePool(studies, POLICY, SPEC, 2) as pool:
        next(pool.decode(instances(studies) * 30))
        children = [
            p for p in psutil.Process().children(recursive=True) if "mura_batch.dicom.worker.child" in p.cmdline()
        ]
        assert children
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
    assert not [t for t in threading.enumerate() if "_serve" in t.name]


PARENT = """
import sys
from pathlib import Path
from mura_batch.dicom.discover import discover
from mura_batch.dicom.header.reader import read_header
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.worker.pool import DecodePool
from mura_batch.preprocess import InputSpec

root, policy = Path(sys.argv[1]), IntakePolicy(settle_seconds=0)
found = [read_header(root, source, policy) for source in discover(root, policy)]
with DecodePool(root, policy, InputSpec(size=64), 1) as pool:
    for answer in pool.decode(found * 100000):
        print("answer", flush=True)
"""


def test_workers_ignore_ctrl_c_and_die_with_the_parent(write: Write, studies: Path) -> None:
    write("a")
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, studies], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert parent.stdout is not None
    parent.stdout.readline()
    (child,) = [
        p for p in psutil.Process(parent.pid).children(recursive=True) if "mura_batch.dicom.worker.child" in p.cmdline()
    ]
    child.send_signal(signal.SIGINT)
    for _ in range(50):
        assert parent.stdout.readline() == b"answer\n"
    assert child.is_running()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    _, alive = psutil.wait_procs([child], timeout=5)
    assert not alive


def test_a_worker_loads_neither_pandas_nor_the_runtime_nor_pydicom(write: Write, studies: Path) -> None:
    write("a", syntax=syntaxes.JPEG_2000_LOSSLESS)
    script = (
        "import sys; from pathlib import Path; sys.argv = ['x', '0'];"
        "import mura_batch.dicom.worker.child as child; child._load_codecs();"
        "from mura_batch.dicom.pixels.decode import decode;"
        "from mura_batch.dicom.policy import IntakePolicy;"
        "decode(Path(sys.stdin.read()).read_bytes(), IntakePolicy(), 64);"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=str(studies / "a"), capture_output=True, text=True, check=True
    )
    assert not {"pandas", "openvino", "torch", "click", "rich", "pydicom", "sqlite3"} & set(done.stdout.split())


def test_a_worker_keeps_within_its_memory(write: Write, studies: Path) -> None:
    """A frame of 49 million pixels, twice 98 MB with its codestream, needs more than 100 MB beside the libraries: the
    limit holds and the reason is right."""
    stored = np.zeros((7000, 7000), np.uint16)
    stored[::2] = 4095
    write("large", stored=stored)
    write("small")
    policy = IntakePolicy(settle_seconds=0, worker_memory=100 << 20)
    with DecodePool(studies, policy, SPEC, 1) as pool:
        answers = {
            a.source.path if isinstance(a, Skipped) else a[0].instance.source.path: a
            for a in pool.decode(instances(studies, policy))
        }
    assert names(answers) == {"large": "worker_memory", "small": "decoded"}
