"""The CPU backend as the registry knows it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mura_batch.errors import RunnerError
from mura_batch.model_card import Model
from mura_batch.runtime.backend import Absent, Check, Opener
from mura_batch.runtime.runner import Runner, RunnerOptions


def find(options: RunnerOptions) -> Opener | Absent:
    """Always found: OpenVINO is a dependency, and where it does not start the runner says so when it is entered."""
    return partial(_open, options)


def _open(options: RunnerOptions, model: Model, reason: str) -> Runner:
    from mura_batch.runtime.openvino.runner import OpenVinoRunner

    return OpenVinoRunner(model, options, reason)


def checks(model_folder: Path, cache_dir: Path | None) -> Iterator[Check]:
    """Does OpenVINO run here, on which processor, and which precisions does that support?"""
    from mura_batch.runtime.openvino.processor import OpenVino

    try:
        openvino = OpenVino()
    except RunnerError as error:
        yield Check("processor", "fail", str(error), "pip install --force-reinstall openvino")
        return
    reduced = [name for name, there in (("int8", openvino.has_int8), ("bf16", openvino.has_bf16)) if there]
    precision = " and ".join([*reduced, "float32"]) if reduced else "float32 (no bf16 or VNNI instructions)"
    cores = len(os.sched_getaffinity(0))
    yield Check("processor", "ok", f"{openvino.processor}, {cores} usable cores, {precision}")
