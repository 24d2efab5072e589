"""What the doctor reports for every GPU backend: the GPU, NVIDIA's driver, pycuda, and the plan of a backend."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mura_batch.errors import ModelError, PlanError
from mura_batch.model_card import Model, load_model
from mura_batch.runtime.backend import Absent, Check
from mura_batch.runtime.nvidia.acceptance import known_parity
from mura_batch.runtime.nvidia.devices import Gpu, driver_version, list_gpus
from mura_batch.runtime.nvidia.library import Library
from mura_batch.runtime.nvidia.plans import Plan, read_plan

PYCUDA = "pip install pycuda"


def gpu_checks() -> Iterator[Check]:
    """Without a GPU each of them is no more than a warning."""
    gpus = list_gpus()
    if isinstance(gpus, Absent):
        yield Check("gpu", "fail" if gpus.is_broken else "warn", f"none: {gpus.reason}", gpus.fix)
    else:
        yield Check("gpu", "ok", "; ".join(map(_described, gpus)))
    yield _driver(() if isinstance(gpus, Absent) else gpus)
    pycuda = installed("pycuda")
    yield Check("pycuda", "ok", pycuda) if pycuda else Check("pycuda", "warn", "is not installed", _pycuda_fix())


def installed(*names: str) -> str:
    """Version of the first of these packages that is installed; '' where none is."""
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return ""


Found = tuple[Gpu, Library] | Absent


def plan_check(
    name: str, found: Found, model_folder: Path, cache_dir: Path | None,
    select: Callable[[Library, Model, Gpu], Plan],
) -> Check:  # fmt: skip
    """Is there a plan for the first GPU, and was it accepted? select: raises PlanError where none fits."""
    if isinstance(found, Absent):
        return Check(name, "ok", f"none is needed: {found.reason}")
    gpu, library = found
    try:
        model = load_model(model_folder)
        plan = select(library, model, gpu)
        read_plan(plan)
    except ModelError as error:
        return Check(name, "fail", f"the model cannot be read: {error}", "Copy the model folder again.")
    except PlanError as error:
        text, _, command = str(error).partition("Build one with: ")
        return Check(name, "fail", text.strip().replace("\n", " "), command or "Build it again: mura-batch compile")
    parity = known_parity(model, plan, gpu, library.__version__, cache_dir)
    return Check(name, "ok", f"{plan.path.name}; {parity or 'built, not yet accepted: the first run measures parity'}")


def _described(gpu: Gpu) -> str:
    memory = f"{gpu.memory_bytes / 2**30:.0f} GiB"
    return f"{gpu.index} {gpu.name}, compute capability {gpu.compute_capability}, {memory}, {gpu.uuid}"


def _driver(gpus: tuple[Gpu, ...]) -> Check:
    number = driver_version()
    if not number and not gpus:
        return Check("driver", "warn", "no NVIDIA driver is loaded", "Needed for a GPU only.")
    cuda = f", CUDA {gpus[0].cuda}" if gpus else ""
    return Check("driver", "ok", f"{number or 'version unknown'}{cuda}")


def _pycuda_fix() -> str:
    """pycuda is built from source."""
    missing = []
    if shutil.which("g++") is None:
        missing.append("a C++ compiler (apt-get install g++)")
    if shutil.which("nvcc") is None:
        missing.append("the CUDA toolkit (nvcc on the PATH)")
    return f"For a GPU: install {' and '.join(missing)}, then {PYCUDA}" if missing else f"For a GPU: {PYCUDA}"
