"""Imports NVIDIA's library, or says why that is not possible and how to fix it."""

from __future__ import annotations

import importlib
import sys
from typing import cast

from mura_batch.runtime.backend import Absent
from mura_batch.runtime.nvidia.devices import Gpu, find_gpu
from mura_batch.runtime.nvidia.library import Library


def import_library(module: str, title: str, install: str) -> Library | Absent:
    """install: the command that installs it."""
    try:
        return cast("Library", importlib.import_module(module))
    except (ImportError, OSError) as error:  # OSError: a shared library is missing or of another machine
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        return Absent(f"{title} cannot be loaded ({error})", f"Install it for this Python {python} with: {install}")


def gpu_with_library(selector: str, module: str, title: str, install: str) -> tuple[Gpu, Library] | Absent:
    """The GPU named by index or UUID and the library; CUDA is probed before the library is imported. Raises InputError
    if the name fits no GPU."""
    gpu = find_gpu(selector)
    if isinstance(gpu, Absent):
        return gpu
    library = import_library(module, title, install)
    if isinstance(library, Absent):
        return Absent(f"this machine has an NVIDIA GPU ({gpu.name}) but {library.reason}", library.fix)
    return gpu, library
