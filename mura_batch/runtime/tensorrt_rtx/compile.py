"""`mura-batch compile --backend rtx`: model.onnx -> a TensorRT-RTX plan, on any machine: no GPU, driver or pycuda.

The plan is not accepted yet: its first start on a GPU measures parity, before it scores anything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mura_batch.errors import InputError, PlanError, RunnerError
from mura_batch.model_card import Model
from mura_batch.runtime.backend import Absent
from mura_batch.runtime.nvidia.build import check_plan_options, run_cancellable, staged_plan, verified_graph, writable
from mura_batch.runtime.nvidia.log import logger_of
from mura_batch.runtime.nvidia.module import import_library
from mura_batch.runtime.nvidia.monitor import Report
from mura_batch.runtime.nvidia.network import Job, build_plan
from mura_batch.runtime.nvidia.plans import PlanOptions, Target, publish
from mura_batch.runtime.tensorrt_rtx.backend import DEFAULT_CAPABILITIES, MODULE, RTX_EXTRA, TITLE, TURING

if TYPE_CHECKING:
    import tensorrt_rtx as trt

CAPABILITIES = (TURING, "8.0", "8.6", "8.9", "12.0", "12.1")  # that a plan can be built for by name
MIXING = (
    f"NVIDIA advises against one {TITLE} plan for several named compute capabilities: leave --compute-capability out "
    f"for {', '.join(DEFAULT_CAPABILITIES)}, or build one plan for each"
)


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What `compile --backend rtx` was asked for."""

    out: Path | None = None  # folder of the plan; None is the model's own, the only one where `score` looks
    opt_batch: int = 16
    max_batch: int = 32
    workspace_mib: int = 4096
    compute_capabilities: tuple[str, ...] = ()  # of CAPABILITIES; () builds for DEFAULT_CAPABILITIES

    @property
    def plan(self) -> PlanOptions:
        return PlanOptions(
            self.opt_batch, self.max_batch, self.workspace_mib, optimization_level=3, version_compatible=False
        )


def compile_plan(
    model: Model, options: BuildOptions, report: Report | None = None, warn: Callable[[str], None] | None = None
) -> Path:
    """Builds a plan; returns its path. Plan and sidecar appear whole or not at all.

    report(phase, part): progress, part from 0 to 1, called from other threads. warn: gets a line on unwise options.
    Ctrl-C stops the build and leaves nothing. Raises InputError, RunnerError, PlanError, OutputError.
    """
    check_plan_options(options.plan)
    wanted = _capabilities(options, warn)
    library = import_library(MODULE, TITLE, RTX_EXTRA)
    if isinstance(library, Absent):
        raise RunnerError(f"{library.reason}. {library.fix}")
    folder = writable(options.out or model.folder)
    target = Target(TITLE, library.__version__, wanted or DEFAULT_CAPABILITIES)
    job = Job(library, verified_graph(model), model.card.input.size, options.plan, partial(_build_for, wanted))

    def work(cancelled: threading.Event) -> bytes:
        return build_plan(job, report, cancelled)

    with staged_plan(model, folder, target, options.plan, None, partial(run_cancellable, work)) as staged:
        publish(staged.staged, staged.path, staged.sidecar)
    return staged.path


def _capabilities(options: BuildOptions, warn: Callable[[str], None] | None) -> tuple[str, ...]:
    wanted = tuple(dict.fromkeys(options.compute_capabilities))
    if unknown := [entry for entry in wanted if entry not in CAPABILITIES]:
        raise InputError(f"--compute-capability {unknown[0]}: {TITLE} builds for {', '.join(CAPABILITIES)}")
    if len(wanted) > 1 and warn is not None:
        warn(MIXING)
    return wanted


def _build_for(capabilities: tuple[str, ...], config: trt.IBuilderConfig) -> None:
    """Raises PlanError where the library refuses one."""
    import tensorrt_rtx as trt

    config.num_compute_capabilities = len(capabilities)
    for index, entry in enumerate(capabilities):
        wanted = trt.ComputeCapability.__members__[f"SM{entry.replace('.', '')}"]
        if not config.set_compute_capability(wanted, index):
            raise PlanError(f"compute capability {entry} is refused: {logger_of(trt).take()}")
