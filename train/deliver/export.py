"""Checkpoint -> model folder: temperature and threshold on the validation split, FP16 graph, parity, card."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mura_batch.atomic_files import atomic_folder
from mura_batch.errors import InputError, OutputError
from mura_batch.model_card import ONNX_NAME, ModelCard, load_model, write_card
from mura_batch.preprocess import InputSpec
from mura_batch.runtime.parity import FP16_GATE
from train.data.examples import TRAIN, VAL, Dataset, labels_of, studies_of
from train.deliver.card_text import CardText
from train.deliver.reference_inputs import Pictures, reference_inputs, save_reference_inputs
from train.measure.calibrate import (
    TEMPERATURE_RULE,
    THRESHOLD_RULE,
    best_threshold,
    fit_temperature,
    probabilities,
)
from train.measure.figures import figures
from train.models.densenet import MuraNet
from train.models.float16_rounding import compare, emulated, joined, require_parity, run_onnx
from train.models.logits import picture_logits
from train.models.members import Member
from train.models.scoring_graph import scoring_graph, to_onnx

MAX_BYTES = 30_000_000  # of one network: what the project's repository and a wheel can carry


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the caller decides. command: how the checkpoint was made; '' takes the checkpoint's own word."""

    out: Path
    name: str
    version: str
    text: CardText
    size: int
    command: str = ""
    log: Path | None = None


@dataclass(frozen=True, slots=True)
class Fitted:
    """Chosen on the validation split, and the network that came of it."""

    temperature: float
    threshold: float
    onnx: bytes
    reference: Pictures  # [N, S, S] reference inputs
    answers: NDArray[np.float32]  # of them, in float32
    figures: dict[str, Any]
    parity: dict[str, Any]


def export(members: Sequence[Member], dataset: Dataset, inputs: Pictures, wanted: Wanted) -> ModelCard:
    """inputs: [N, S, S] validation pictures at wanted.size. Writes the folder whole or not at all; returns its card.
    Raises ModelError when half precision misses a gate."""
    fitted = _fit([m.net for m in members], dataset, inputs)
    card = _card(members, dataset, fitted, wanted)
    return _write(card, fitted, wanted.out)


def _fit(nets: Sequence[MuraNet], dataset: Dataset, inputs: Pictures) -> Fitted:
    examples = dataset.split(VAL)
    studies = studies_of(examples)
    logits = picture_logits(nets, inputs)
    temperature = fit_temperature(logits, labels_of(examples) > 0)
    onnx_bytes = to_onnx(scoring_graph(nets, temperature, half=True), inputs.shape[-1])
    if len(onnx_bytes) > MAX_BYTES * len(nets):
        raise OutputError(f"the network has {len(onnx_bytes)} bytes, more than {MAX_BYTES} a member")
    # scores and figures are those of the network that ships: half precision, its rounding written out
    rounded = emulated(onnx_bytes)
    half = run_onnx(rounded, np.asarray(inputs))["probability"]
    scores = studies.mean(half.astype(np.float64))
    threshold = best_threshold(scores, studies.abnormal)
    spec = InputSpec(size=inputs.shape[-1])
    reference, answers = reference_inputs(spec, lambda p: probabilities(picture_logits(nets, p), temperature))
    parity = _parity(
        {
            VAL: (half, probabilities(logits, temperature)),
            "reference_inputs": (run_onnx(rounded, reference)["probability"], answers),
        },
        threshold,
    )
    return Fitted(
        temperature, threshold, onnx_bytes, reference, answers, figures(studies, scores, threshold, VAL), parity
    )


def _parity(pairs: Mapping[str, tuple[NDArray[Any], NDArray[Any]]], threshold: float) -> dict[str, Any]:
    """Every set must pass the gates by itself; the card gets them together and apart."""
    apart = {name: compare(half, full, threshold) for name, (half, full) in pairs.items()}
    for name, parity in apart.items():
        require_parity(parity, name)
    sets = {name: asdict(parity) for name, parity in apart.items()}
    return {
        **joined(sets),
        "method": "FP16 emulated on a CPU (a cast to float16 and back behind each half tensor) against torch float32",
        "gates": {**asdict(FP16_GATE), "flips": 0},
        "sets": sets,
    }


def _card(members: Sequence[Member], dataset: Dataset, fitted: Fitted, wanted: Wanted) -> ModelCard:
    text = wanted.text
    return ModelCard(
        name=wanted.name,
        version=wanted.version,
        input=InputSpec(size=wanted.size),
        threshold=fitted.threshold,
        threshold_rule=THRESHOLD_RULE,
        regions=text.regions,
        temperature=fitted.temperature,
        temperature_rule=TEMPERATURE_RULE,
        licence=text.licence,
        attribution=text.attribution,
        intended_use=text.intended_use,
        limits=text.limits,
        training=_training(members, dataset, wanted),
        figures=fitted.figures,
        parity=fitted.parity,
    )


def _training(members: Sequence[Member], dataset: Dataset, wanted: Wanted) -> dict[str, Any]:
    first = members[0].values
    epochs = read_log(wanted.log) if wanted.log is not None else []
    return {
        "data_set": wanted.text.data_set,
        "counts": {name: _counts(dataset, name) for name in (TRAIN, VAL)},
        "command": wanted.command or str(first.get("command", "not recorded")),
        "recipe": members[0].recipe,
        "members": len(members),
        "epochs": int(first["epoch"]) + 1 if "epoch" in first else None,
        "seconds": round(sum(float(row["sec"]) for row in epochs)) if epochs else None,
        # how often the split that the figures are of was looked at before they were taken
        "validation_looks": [int(float(row["epoch"])) for row in epochs if row.get("val_auroc") not in (None, "")],
    }


def _counts(dataset: Dataset, split: str) -> dict[str, int]:
    studies = studies_of(dataset.split(split))
    return {
        "pictures": len(dataset.split(split)),
        "studies": len(studies),
        "abnormal_studies": int(studies.abnormal.sum()),
        "groups": len(set(studies.groups)),
    }


def read_log(path: Path) -> list[dict[str, Any]]:
    """Epochs of a run: CSV as `fit` writes it, or one JSON object a line. Each has at least 'epoch' and 'sec'."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if text.lstrip().startswith("{"):
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    return list(csv.DictReader(text.splitlines()))


def _write(card: ModelCard, fitted: Fitted, out: Path) -> ModelCard:
    with atomic_folder(out) as made:
        (made / ONNX_NAME).write_bytes(fitted.onnx)
        save_reference_inputs(made, fitted.reference, fitted.answers)
        written = write_card(card, made)
        load_model(made)  # what cannot be loaded is not put in place
    return written
