"""Which precision the CPU runner uses: the fastest that processor and model support and that passes its gate."""

from __future__ import annotations

from dataclasses import astuple

from mura_batch.errors import RunnerError
from mura_batch.model_card import Model
from mura_batch.runtime.gates import CPU_GATE, Parity
from mura_batch.runtime.openvino.processor import Processor
from mura_batch.runtime.parity import compare_outputs, load_reference_answers, load_reference_inputs
from mura_batch.runtime.runner import RunnerOptions
from mura_batch.runtime.start_cache import ParityCache

REDUCED = ("int8", "bf16")  # the fastest first: 46 and 28 img/s of DenseNet169 where float32 gives 15


def choose_precision(processor: Processor, model: Model, options: RunnerOptions) -> tuple[str, str, Parity | None]:
    """(precision, why, its parity; None for float32).

    A precision asked for by name that is not available or misses the gate is a RunnerError: it is never replaced.
    """
    if options.precision == "float32":
        return "float32", "float32 as asked for", None
    refused: list[str] = []
    for precision in REDUCED if options.precision == "auto" else (options.precision,):
        if absent := processor.lacks(precision):
            refused.append(f"no {precision}: {absent}")
            continue
        parity = measured_parity(processor, model, options, precision)
        if failures := parity.failures(CPU_GATE):
            past = f"{'; '.join(failures)} on {parity.n} reference images"
            refused.append(f"{precision} misses the parity gate ({past})")
            continue
        return precision, "; ".join([f"{precision} passes the parity gate: {parity}", *refused]), parity
    why = "; ".join(refused)
    if options.precision != "auto":
        raise RunnerError(f"{options.precision} cannot be used: {why}; use --precision auto or float32")
    return "float32", f"float32, since {why}", None


def measured_parity(processor: Processor, model: Model, options: RunnerOptions, precision: str) -> Parity:
    """Against float32 on the model's reference inputs, measured now or cached by an earlier start. The float32
    probabilities are those that the export wrote; where it wrote none, they are computed here."""
    basis = (
        *processor.basis(precision), model.card.hashes["reference_inputs.npz"], model.card.threshold,
        astuple(CPU_GATE),
    )  # fmt: skip
    cache = ParityCache(options.cache_dir, basis)
    if (known := cache.read()) is not None:
        return known
    images = load_reference_inputs(model)
    full = load_reference_answers(model, len(images))
    if full is None:
        processor.compile_all(("float32", precision))
        full = processor.answers("float32", images).probability
    parity = compare_outputs(full, processor.answers(precision, images), model.card.threshold, CPU_GATE)
    cache.write(parity)
    return parity
