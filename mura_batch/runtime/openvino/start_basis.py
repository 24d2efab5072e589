"""What a start depends on, read without OpenVINO: its import takes longer than a night without news."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import astuple
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mura_batch.model_card import REFERENCE_INPUTS_NAME, Model
from mura_batch.runtime.gates import CPU_GATE
from mura_batch.runtime.runner import RunnerOptions
from mura_batch.version import __version__

# Images a request. On two cores 1, 2, 4 and 8 gave 59, 61, 56 and 50 img/s in bf16, 31, 30, 25 and 23 in float32.
BATCH = 1
CPUINFO = Path("/proc/cpuinfo")
_VARIABLES = ("DNNL_", "ONEDNN_", "OPENVINO_", "OV_")  # by which the environment changes what OpenVINO takes a CPU for
_OF_PROCESSOR = ("vendor_id", "cpu family", "model", "model name", "stepping", "microcode", "flags")


def start_basis(model: Model, options: RunnerOptions, reason: str) -> tuple[Any, ...]:
    """Everything that RunnerInfo follows from: this program, the model's files, the gate, the options, the processor
    and OpenVINO's own files. reason: why this device."""
    return (
        __version__, model.hash, model.int8_hash, model.card.hashes[REFERENCE_INPUTS_NAME], model.card.threshold,
        astuple(CPU_GATE), options.precision, options.threads, options.features, reason,
        _processor(), tuple(_libraries()), tuple(sorted(v for v in os.environ.items() if v[0].startswith(_VARIABLES))),
    )  # fmt: skip


def _processor() -> tuple[str, ...]:
    """Of the first core, as Linux describes it; nothing where it does not."""
    try:
        with CPUINFO.open(encoding="utf-8", errors="replace") as file:
            lines = file.read(1 << 16).partition("\n\n")[0].splitlines()
    except OSError:
        return ()
    return tuple(line for line in lines if line.partition("\t")[0] in _OF_PROCESSOR)


def _libraries() -> Iterator[tuple[str, int, int]]:
    """Name, size and time of each of OpenVINO's libraries: another installation has others."""
    spec = find_spec("openvino")
    for folder in spec.submodule_search_locations or () if spec is not None else ():
        for path in sorted((*Path(folder).glob("*.so"), *Path(folder).glob("libs/*"))):
            info = path.stat()
            yield path.name, info.st_size, info.st_mtime_ns
