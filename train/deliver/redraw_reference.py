"""`reference`: other reference inputs for a model folder that has none of its checkpoint any more."""

from __future__ import annotations

from dataclasses import asdict, replace

from mura_batch.atomic_files import edited_folder
from mura_batch.model_card import CARD_NAME, REFERENCE_INPUTS_NAME, Model, ModelCard, write_card
from mura_batch.runtime.cpu_answers import cpu_answers
from train.deliver.reference_inputs import reference_inputs, save_reference_inputs
from train.models.float16_rounding import compare, emulated, joined, require_parity, run_onnx


def redraw_reference(model: Model) -> ModelCard:
    """Draws and chooses them as an export does, by the network itself in float32, and holds half precision to its gate
    on them. Replaces the folder whole or not at all; returns its card. Raises ModelError past the gate."""
    spec = model.card.input
    pictures, probabilities = reference_inputs(
        spec, lambda drawn: cpu_answers(model, "float32", drawn[:, None]).probability
    )
    half = run_onnx(emulated(model.onnx.read_bytes()), pictures)["probability"]
    parity = compare(half, probabilities, model.card.threshold)
    require_parity(parity, REFERENCE_INPUTS_NAME)
    measured = {**asdict(parity), "method": "FP16 emulated against OpenVINO float32, both on the FP16 weights"}
    sets = {**model.card.parity.get("sets", {}), "reference_inputs": measured}
    card = replace(model.card, parity={**model.card.parity, **joined(sets), "sets": sets})
    with edited_folder(model.folder, without=(CARD_NAME, REFERENCE_INPUTS_NAME)) as new:
        save_reference_inputs(new, pictures, probabilities)
        return write_card(card, new, tuple(model.card.hashes))
