"""Lists the GPUs of this machine; creates nothing on them.

CUDA is probed before TensorRT is imported: without a driver TensorRT returns half-initialised objects, and the process
dies with SIGSEGV when they are used.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mura_batch.errors import InputError
from mura_batch.runtime.backend import Absent

DRIVER_VERSION_FILE = Path("/proc/driver/nvidia/version")  # there while NVIDIA's kernel module is loaded
GPU_EXTRA = "pip install 'mura-batch[gpu]'"
EITHER_EXTRA = f"{GPU_EXTRA} or 'mura-batch[rtx]' (docs/tensorrt.md says which)"
EITHER_EXTRA = f"{EITHER_EXTRA} (docs/tensorrt.md says which)"


@dataclass(frozen=True, slots=True)
class Gpu:
    """One CUDA device. compute_capability: 'major.minor'. cuda: the newest CUDA that the driver serves, 'major.minor'.
    driver: version of NVIDIA's driver, '' where it is unknown."""

    index: int
    uuid: str
    name: str
    compute_capability: str
    sm_count: int
    memory_bytes: int
    driver: str
    cuda: str


def find_gpu(selector: str) -> Gpu | Absent:
    """The GPU with that index or UUID; pycuda is needed. Raises InputError if the name fits none or several."""
    gpus = list_gpus()
    return gpus if isinstance(gpus, Absent) else pick_gpu(gpus, selector)


def list_gpus() -> tuple[Gpu, ...] | Absent:
    """Every CUDA device in CUDA's order; pycuda is needed, TensorRT is not."""
    try:
        import pycuda.driver as cuda
    except ModuleNotFoundError as error:
        if error.name == "pycuda":
            return _without_pycuda()
        return Absent(f"pycuda cannot be loaded ({error})", f"Install it again with: {GPU_EXTRA}")
    except ImportError as error:  # libcuda.so.1 is not there
        return Absent(f"NVIDIA's driver cannot be loaded ({error})", "Install NVIDIA's driver for this GPU.")
    try:
        cuda.init()
        gpus = tuple(_describe(cuda, index) for index in range(cuda.Device.count()))
    except cuda.Error as error:  # pycuda's errors are not RuntimeError's children
        if "no cuda-capable device" in str(error).lower() or "no device" in str(error).lower():
            return _no_device()
        return Absent(
            f"CUDA does not start: {error}", "Look at nvidia-smi; reboot after a driver update.", is_broken=True
        )
    return gpus or _no_device()


def pick_gpu(gpus: tuple[Gpu, ...], selector: str) -> Gpu:
    """By index or UUID (any unambiguous beginning of at least 8 characters, as nvidia-smi -L prints it)."""
    wanted = selector.strip().lower().replace("mig-", "gpu-")  # the driver reports a MIG instance without its prefix
    if wanted.isdecimal():
        chosen = [gpu for gpu in gpus if gpu.index == int(wanted)]
    else:
        chosen = [gpu for gpu in gpus if len(wanted) >= 8 and gpu.uuid.lower().startswith(wanted)]
    if len(chosen) != 1:
        listed = "; ".join(f"{gpu.index} {gpu.name} {gpu.uuid}" for gpu in gpus)
        raise InputError(f"--gpu {selector!r} names {'no' if not chosen else 'more than one'} GPU; choose of: {listed}")
    return chosen[0]


def driver_version() -> str:
    """Version of NVIDIA's driver as its kernel module reports it, or ''."""
    try:
        words = DRIVER_VERSION_FILE.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        return ""
    return next((word for word in words if word[:1].isdigit() and "." in word), "")


def _without_pycuda() -> Absent:
    if DRIVER_VERSION_FILE.exists():
        return Absent(
            "NVIDIA's driver is loaded but pycuda is not installed",
            f"Install it with: {EITHER_EXTRA}",
        )
    return Absent(
        "pycuda is not installed and no NVIDIA driver is loaded",
        f"On a machine with an NVIDIA GPU: install its driver, then {EITHER_EXTRA}",
    )


def _no_device() -> Absent:
    return Absent("CUDA sees no GPU", "Look at nvidia-smi and at CUDA_VISIBLE_DEVICES.")


def _describe(cuda: Any, index: int) -> Gpu:
    device = cuda.Device(index)
    major, minor = device.compute_capability()
    served = cuda.get_driver_version()  # 12040 is CUDA 12.4
    return Gpu(
        index=index,
        uuid=device_uuid(index),
        name=device.name(),
        compute_capability=f"{major}.{minor}",
        sm_count=device.get_attribute(cuda.device_attribute.MULTIPROCESSOR_COUNT),
        memory_bytes=device.total_memory(),
        driver=driver_version(),
        cuda=f"{served // 1000}.{served % 1000 // 10}",
    )


def device_uuid(index: int) -> str:
    """'GPU-...' as nvidia-smi prints it; '' where the driver does not report it. pycuda has no call for it."""
    buffer = ctypes.create_string_buffer(16)
    try:
        driver = ctypes.CDLL("libcuda.so.1")  # already loaded by pycuda
        if driver.cuDeviceGetUuid(buffer, ctypes.c_int(index)) != 0:  # a CUdevice is its index
            return ""
    except (OSError, AttributeError):
        return ""
    digits = buffer.raw.hex()
    return "GPU-" + "-".join(digits[a:b] for a, b in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32)))
