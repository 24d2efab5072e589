"""What the doctor reports for every GPU backend: the GPU, NVIDIA's driver and pycuda."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from mura_batch.runtime.backend import Absent, Check
from mura_batch.runtime.nvidia.devices import GPU_EXTRA, Gpu, driver_version, list_gpus


def gpu_checks() -> Iterator[Check]:
    """Without a GPU each of them is no more than a warning."""
    gpus = list_gpus()
    if isinstance(gpus, Absent):
        yield Check("gpu", "fail" if gpus.is_broken else "warn", f"none: {gpus.reason}", gpus.fix)
    else:
        yield Check("gpu", "ok", "; ".join(map(_described, gpus)))
    yield _driver(() if isinstance(gpus, Absent) else gpus)
    yield optional_package("pycuda", (0,), GPU_EXTRA)


def optional_package(name: str, oldest: tuple[int, ...], install: str) -> Check:
    """oldest: first version that works, by its first two numbers. install: the command that installs it."""
    try:
        installed = version(name)
    except PackageNotFoundError:
        return Check(name, "warn", "is not installed", f"For a GPU: {install}")
    if tuple(int(part) for part in installed.split(".")[:2] if part.isdigit()) < oldest:
        return Check(name, "fail", f"{installed} is too old", install.replace("install", "install --upgrade"))
    return Check(name, "ok", installed)


def _described(gpu: Gpu) -> str:
    memory = f"{gpu.memory_bytes / 2**30:.0f} GiB"
    return f"{gpu.index} {gpu.name}, compute capability {gpu.compute_capability}, {memory}, {gpu.uuid}"


def _driver(gpus: tuple[Gpu, ...]) -> Check:
    number = driver_version()
    if not number and not gpus:
        return Check("driver", "warn", "no NVIDIA driver is loaded", "Needed for a GPU only.")
    cuda = f", CUDA {gpus[0].cuda}" if gpus else ""
    return Check("driver", "ok", f"{number or 'version unknown'}{cuda}")
