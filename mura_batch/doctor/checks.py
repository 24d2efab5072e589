"""`mura-batch doctor`: what this machine can do, what stands in the way, and how to mend it. Changes nothing."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mura_batch.errors import ModelError, PlanError, RunnerError
from mura_batch.model_card import Model, load_model

OLDEST_PYTHON = (3, 11)  # as pyproject's requires-python
OLDEST_TENSORRT = (10, 13)  # as pyproject's extra `gpu`
PACKAGES = ("click", "imagecodecs", "jinja2", "numpy", "openvino", "pandas", "pillow", "pydicom", "rich")
FULL = 200 << 20  # bytes free under OUT that a run of some thousand studies with its report can fill
SCARCE = 2 << 30


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor. status: 'ok', 'warn' (works, but not all of it or not well) or 'fail'."""

    name: str
    status: str
    detail: str
    mend: str = ""


def examine(out: Path | None, model_folder: Path) -> tuple[Check, ...]:
    """Every check, in the order in which they are read. out: where `score` will write; None leaves that out."""
    from mura_batch.doctor.decoders import decoders

    return (
        python(),
        *packages(),
        processor(),
        *gpu_checks(model_folder),
        *decoders(),
        model(model_folder),
        *(output_folder(out) if out is not None else ()),
    )


def python() -> Check:
    detail = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info[:2] < OLDEST_PYTHON:
        return Check("python", "fail", detail, "Install Python 3.11 or newer and mura-batch into it.")
    return Check("python", "ok", detail)


def packages() -> Iterator[Check]:
    """One line for those that are there, one for each that is not."""
    found = {name: _version(name) for name in PACKAGES}
    there = ", ".join(f"{name} {number}" for name, number in found.items() if number)
    yield Check("packages", "ok", there)
    for name, number in found.items():
        if not number:
            yield Check(
                f"package {name}", "fail", "is not installed", "Install mura-batch again: pip install mura-batch"
            )


def processor() -> Check:
    """Does OpenVINO run here, on what, and which precisions has the processor?"""
    from mura_batch.runtime.openvino.runner import OpenVino

    try:
        openvino = OpenVino()
    except RunnerError as error:
        return Check("processor", "fail", str(error), "pip install --force-reinstall openvino")
    reduced = [name for name, there in (("int8", openvino.has_int8), ("bf16", openvino.has_bf16)) if there]
    precision = " and ".join([*reduced, "float32"]) if reduced else "float32 (no bf16 or VNNI instructions)"
    return Check("processor", "ok", f"{openvino.processor}, {_usable_cores()} usable cores, {precision}")


def gpu_checks(model_folder: Path) -> Iterator[Check]:
    """GPU, driver, CUDA, pycuda, TensorRT, plans. Without a GPU all of them are no more than a warning."""
    from mura_batch.runtime.nvidia.devices import NoGpu, driver_version, list_gpus

    gpus = list_gpus()
    if isinstance(gpus, NoGpu):
        yield Check("gpu", "fail" if gpus.is_broken else "warn", f"none: {gpus.reason}", gpus.mend)
    else:
        names = "; ".join(
            f"{gpu.index} {gpu.name}, compute capability {gpu.compute_capability}, "
            f"{gpu.memory_bytes / 2**30:.0f} GiB, {gpu.uuid}"
            for gpu in gpus
        )
        yield Check("gpu", "ok", names)
    cuda = f", CUDA {gpus[0].cuda}" if not isinstance(gpus, NoGpu) else ""
    driver = driver_version()
    yield Check("driver", "ok" if driver or cuda else "warn", f"{driver or 'version not told'}{cuda}" if driver or cuda
                else "no NVIDIA driver is loaded", "" if driver or cuda else "Needed for a GPU only.")  # fmt: skip
    yield optional_package("pycuda", (0,))
    yield optional_package("tensorrt", OLDEST_TENSORRT)
    yield plans(model_folder)


def optional_package(name: str, oldest: tuple[int, ...]) -> Check:
    number = _version(name)
    if not number:
        return Check(name, "warn", "is not installed", "For a GPU: pip install 'mura-batch[gpu]'")
    if tuple(int(part) for part in number.split(".")[:2] if part.isdigit()) < oldest:
        return Check(name, "fail", f"{number} is too old", "pip install --upgrade 'mura-batch[gpu]'")
    return Check(name, "ok", number)


def plans(model_folder: Path) -> Check:
    """Is there a plan for the first GPU?"""
    from mura_batch.runtime.nvidia.devices import NoGpu, find_gpu
    from mura_batch.runtime.tensorrt.plans import read_plan, select_plan

    there = len(list(model_folder.glob("*.plan")))
    gpu = find_gpu("0")
    if isinstance(gpu, NoGpu):
        return Check("plan", "ok", f"none is needed without a usable GPU; {there} beside the model")
    from mura_batch.runtime.tensorrt.runner import target_of

    try:
        plan = select_plan(load_model(model_folder), target_of(gpu), gpu.index)
        read_plan(plan)
    except ModelError as error:
        return Check("plan", "fail", f"the model cannot be read: {error}")
    except PlanError as error:
        text, _, command = str(error).partition("Build one with: ")
        return Check("plan", "fail", text.strip().replace("\n", " "), command or "Build it again: mura-batch compile")
    parity = plan.sidecar.parity
    return Check("plan", "ok", f"{plan.path.name}; {parity or 'parity not measured'}")


def model(folder: Path) -> Check:
    try:
        loaded: Model = load_model(folder)
    except ModelError as error:
        return Check("model", "fail", str(error), "Copy the model folder again, or give another with --model.")
    card = loaded.card
    return Check(
        "model", "ok", f"{card.name} {card.version}, {loaded.hash[:12]}, {card.input.size} px, threshold "
        f"{card.threshold:g}; all {len(card.hashes)} hashes match"
    )  # fmt: skip


def output_folder(out: Path) -> Iterator[Check]:
    """May it be written, how full is its disk, who else can read it, and can it be locked?"""
    folder = next(parent for parent in (out, *out.absolute().parents) if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        yield Check("out", "fail", f"{folder} cannot be written to", "Give another folder with --out, or its rights.")
        return
    yield Check("out", "ok", f"{out} {'can be written to' if folder == out else 'does not exist yet and can be made'}")
    yield disk(folder)
    if folder == out:
        yield privacy(out)
    yield lock(folder)


def disk(folder: Path) -> Check:
    import shutil

    free = shutil.disk_usage(folder).free
    status = "fail" if free < FULL else "warn" if free < SCARCE else "ok"
    mend = "" if status == "ok" else "Make room, or give a folder on another disk with --out."
    return Check("disk", status, f"{free / 2**30:.1f} GiB free", mend)


def privacy(out: Path) -> Check:
    """Results name studies: nobody else should read them."""
    mode = out.stat().st_mode & 0o777
    if mode & 0o007:
        return Check(
            "permissions", "warn", f"mode {mode:o}: every user of this machine can enter", f"chmod o-rwx {out}"
        )
    return Check("permissions", "ok", f"mode {mode:o}")


def lock(folder: Path) -> Check:
    """One run at a time is kept by flock, which some network file systems do not have."""
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return Check("lock", "warn", "another run holds it now", "Wait until it has ended.")
    except OSError as error:
        return Check("lock", "fail", f"cannot be locked: {error.strerror}", "Give a folder on a local disk with --out.")
    finally:
        os.close(descriptor)
    return Check("lock", "ok", "can be locked")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _usable_cores() -> int:
    counted: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(counted(0)) if counted is not None else os.cpu_count() or 1
