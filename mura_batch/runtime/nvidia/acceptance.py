"""Whether a plan may score: its scores on the model's reference inputs are held to the gate against float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mura_batch.errors import PlanError
from mura_batch.model_card import REFERENCE_INPUTS_NAME, Model
from mura_batch.runtime.cpu_answers import cpu_answers
from mura_batch.runtime.gates import FP16_GATE, Parity
from mura_batch.runtime.nvidia.devices import Gpu
from mura_batch.runtime.nvidia.library import Variant
from mura_batch.runtime.nvidia.plans import Plan
from mura_batch.runtime.parity import compare_outputs, load_reference_answers, load_reference_inputs
from mura_batch.runtime.runner import Outputs, RunnerOptions
from mura_batch.runtime.start_cache import ParityCache


@dataclass(frozen=True, slots=True)
class Acceptance:
    """parity: None while it is not known. notes: for the manifest."""

    parity: Parity | None
    notes: tuple[str, ...] = ()


def accept(
    model: Model, plan: Plan, gpu: Gpu, variant: Variant, options: RunnerOptions,
    answers: Callable[[NDArray[np.uint8]], Outputs],
) -> Acceptance:  # fmt: skip
    """The parity that the build measured on such a GPU, or an earlier start here, or `answers` now.

    Raises PlanError, by how much, where the gate is missed.
    """
    if plan.sidecar.parity is not None:
        return Acceptance(plan.sidecar.parity)
    cache = acceptance_cache(model, plan, gpu, variant.library.__version__, options)
    known = cache.read()
    parity = known or measure(model, answers)
    if known is None:
        cache.write(parity)
    require_gate(parity, f"the plan {plan.path.name} is not used on this GPU")
    when = "accepted on this GPU by an earlier run" if known else "accepted on this GPU by this run"
    return Acceptance(parity, (f"{when}: {parity}",))


def acceptance_cache(model: Model, plan: Plan, gpu: Gpu, version: str, options: RunnerOptions) -> ParityCache:
    """version: of the library. One file for each plan, GPU model, driver, library and way of running."""
    return ParityCache(
        options.cache_dir,
        (
            plan.sidecar.plan_sha256, gpu.name, gpu.compute_capability, gpu.sm_count, gpu.driver, version,
            model.card.hashes[REFERENCE_INPUTS_NAME], model.card.threshold, astuple(FP16_GATE),
            options.batch_size, sorted(options.backend_options),
        ),
    )  # fmt: skip


def known_parity(model: Model, plan: Plan, gpu: Gpu, version: str, cache_dir: Path | None) -> Parity | None:
    """What the build or an earlier start with the default options measured; None where neither did."""
    if plan.sidecar.parity is not None:
        return plan.sidecar.parity
    return acceptance_cache(model, plan, gpu, version, RunnerOptions(cache_dir=cache_dir)).read()


def measure(model: Model, answers: Callable[[NDArray[np.uint8]], Outputs]) -> Parity:
    """Against the float32 probabilities that the export wrote; where it wrote none, the CPU runner computes them."""
    images = load_reference_inputs(model)
    expected = load_reference_answers(model, len(images))
    if expected is None:
        expected = cpu_answers(model, "float32", images).probability
    return compare_outputs(expected, answers(images), model.card.threshold, FP16_GATE)


def require_gate(parity: Parity, what: str) -> None:
    if failures := parity.failures(FP16_GATE):
        raise PlanError(
            f"{what}: {'; '.join(failures)}, over {parity.n} reference images against float32. Build it again with "
            "another --optimization-level, or score with --device cpu"
        )
