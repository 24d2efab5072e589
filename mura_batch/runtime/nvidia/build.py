"""What the builds of both libraries share: checks of the options, Ctrl-C, the sidecar, a plan that is whole or absent.

Needs no GPU and no GPU library.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from mura_batch.atomic_files import make_folder, write_atomic
from mura_batch.errors import InputError, ModelError, OutputError
from mura_batch.model_card import Model
from mura_batch.runtime.nvidia.devices import Gpu
from mura_batch.runtime.nvidia.plans import OTHER_FOLDER, PlanOptions, Sidecar, Target, plan_name
from mura_batch.runtime.nvidia.thread import GpuThread
from mura_batch.runtime.onnx_file import read_graph
from mura_batch.version import __version__

T = TypeVar("T")

MAX_OPTIMIZATION_LEVEL = 5  # TensorRT's own range is 0 to 5
CANCEL_SECONDS = 120.0  # the monitor is asked between steps; one step of TensorRT can take a minute


def check_plan_options(options: PlanOptions) -> None:
    """Raises InputError that names the option and its range."""
    if not 1 <= options.opt_batch <= options.max_batch:
        raise InputError(f"--opt-batch {options.opt_batch}: use 1 to --max-batch ({options.max_batch})")
    if not 0 <= options.optimization_level <= MAX_OPTIMIZATION_LEVEL:
        raise InputError(f"--optimization-level {options.optimization_level}: use 0 to {MAX_OPTIMIZATION_LEVEL}")
    if options.workspace_mib < 1:
        raise InputError(f"--workspace {options.workspace_mib}: use 1 MiB or more")


def writable(folder: Path) -> Path:
    """The folder, created if need be. Raises OutputError now rather than after minutes of building."""
    make_folder(folder, OTHER_FOLDER)
    if not os.access(folder, os.W_OK):
        raise OutputError(
            f"{folder} cannot be written to. Copy the model folder to a place that can, compile it there, and score "
            "with --model"
        )
    return folder


def verified_graph(model: Model) -> bytes:
    """The model's ONNX, whose hash is checked. Raises ModelError."""
    graph = read_graph(model.onnx)
    if hashlib.sha256(graph).hexdigest() != model.hash:
        raise ModelError(f"{model.onnx} has changed since it was loaded; run the command again")
    return graph


def run_cancellable(work: Callable[[threading.Event], T]) -> T:
    """Runs `work` on a thread of its own, so that Ctrl-C is noticed here while the library works there. Ctrl-C sets the
    event and is raised when the work has stopped."""
    thread, cancelled = GpuThread(), threading.Event()
    try:
        return thread.submit(lambda: work(cancelled)).result()
    except KeyboardInterrupt:  # it can come as early as in `submit`
        cancelled.set()
        raise
    finally:
        thread.close(CANCEL_SECONDS)


@dataclass(frozen=True, slots=True)
class Staged:
    """A plan on its way: `path` is where it will be, `staged` where it is."""

    path: Path
    staged: Path
    sidecar: Sidecar


@contextmanager
def staged_plan(
    model: Model, folder: Path, target: Target, options: PlanOptions, gpu: Gpu | None, build: Callable[[], bytes]
) -> Iterator[Staged]:
    """Builds, and writes the plan under a temporary name, which is gone when the block ends. gpu: None where there is
    none. Raises OutputError."""
    path = folder / f"{plan_name(model.hash, target, options)}.plan"
    staged = folder / f".{path.stem}.{os.getpid()}.building"
    started = time.monotonic()
    plan = build()
    sidecar = Sidecar(
        model_name=f"{model.card.name} {model.card.version}",
        model_hash=model.hash,
        target=target,
        options=options,
        driver=gpu.driver if gpu else "",
        cuda=gpu.cuda if gpu else "",
        plan_sha256=hashlib.sha256(plan).hexdigest(),
        plan_bytes=len(plan),
        build_seconds=round(time.monotonic() - started, 1),
        built_at=datetime.now(UTC).isoformat(timespec="seconds"),
        program=__version__,
        parity=None,
    )
    try:
        write_atomic(staged, plan, OTHER_FOLDER)
        yield Staged(path, staged, sidecar)
    finally:
        staged.unlink(missing_ok=True)
