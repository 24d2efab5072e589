"""Checkpoint -> model folder: calibration and threshold on val, FP16 graph, parity, statistics of features, card."""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mura_batch.atomic_files import atomic_folder
from mura_batch.errors import InputError, ModelError, OutputError
from mura_batch.model_card import (
    FEATURES_NAME,
    ONNX_NAME,
    REFERENCE_INPUTS_NAME,
    ModelCard,
    load_model,
    write_card,
)
from mura_batch.preprocess import InputSpec
from mura_batch.runtime.feature_distance import FeatureStatistics, write_statistics
from mura_batch.runtime.gates import FP16_GATE
from train.data.examples import TRAIN, VAL, Dataset, labels_of, studies_of
from train.deliver.card_text import CardText
from train.deliver.feature_statistics import features_of, statistics_of
from train.deliver.reference_inputs import Pictures, reference_inputs, save_reference_inputs
from train.measure.calibrate import (
    TEMPERATURE_RULE,
    THRESHOLD_RULE,
    Calibration,
    cross_validated_threshold,
    fit_calibration,
    held_out_probabilities,
    probabilities,
)
from train.measure.figures import calibration_figures, figures
from train.models.densenet import SHIPPED, MuraNet
from train.models.float16_rounding import compare, emulated, joined, require_parity, run_onnx
from train.models.logits import picture_logits
from train.models.members import Member
from train.models.scoring_graph import scoring_graph, to_onnx, with_metadata

MAX_BYTES = 30_000_000  # of one network: what the project's repository and a wheel can carry


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the caller decides. command: how the checkpoint was trained; '': as the checkpoint recorded it."""

    out: Path
    name: str
    version: str
    text: CardText
    input: InputSpec
    command: str = ""
    log: Path | None = None


@dataclass(frozen=True, slots=True)
class Inputs:
    """Model inputs [N, S, S] uint8 by Wanted.input: of val, and training pictures for the statistics of features."""

    val: Pictures
    training: Pictures


@dataclass(frozen=True, slots=True)
class Fitted:
    """Chosen on the validation split, and the network that came of it."""

    calibration: Calibration
    threshold: float
    onnx: bytes
    reference: Pictures  # [N, S, S] reference inputs
    answers: NDArray[np.float32]  # of them, in float32
    figures: dict[str, Any]
    parity: dict[str, Any]


def export(members: Sequence[Member], dataset: Dataset, inputs: Inputs, wanted: Wanted) -> ModelCard:
    """Writes the folder whole or not at all; returns its card. Raises InputError when the card's text states other
    counts than the data, ModelError when half precision misses a gate."""
    _check_counts(dataset, wanted.text)
    nets = [m.net for m in members]
    if foreign := [net.arch for net in nets if net.arch != SHIPPED]:
        raise ModelError(f"{foreign[0]} is a teacher and is not shipped: distil it into {SHIPPED} (recipe distil)")
    fitted = fit_on_val(nets, dataset, inputs.val, wanted.input)
    card = _card(members, dataset, fitted, wanted)
    statistics = statistics_of(features_of(nets, inputs.training), features_of(nets, inputs.val))
    return write_folder(card, fitted, statistics, wanted.out)


def _check_counts(dataset: Dataset, text: CardText) -> None:
    stated, counted = text.pictures, len(dataset.examples)
    if stated is not None and stated != counted:
        raise InputError(
            f"the card's text states {stated} pictures, {dataset.root} has {counted}: correct `pictures` and the words "
            "of the card, or give the data that it describes"
        )


def fit_on_val(nets: Sequence[MuraNet], dataset: Dataset, inputs: Pictures, spec: InputSpec) -> Fitted:
    """inputs: [N, S, S] of dataset's validation split by spec. Raises ModelError when half precision misses a gate."""
    examples = dataset.split(VAL)
    studies, abnormal = studies_of(examples), labels_of(examples) > 0
    logits = picture_logits(nets, inputs)
    calibration = fit_calibration(logits, abnormal)
    if calibration.is_at_limit:
        sys.stderr.write(f"Warning: the temperature {calibration.temperature} is at the limit of the search\n")
    network = scoring_graph(nets, calibration.temperature, calibration.bias, half=True)
    onnx_bytes = to_onnx(network, spec.size)
    if len(onnx_bytes) > MAX_BYTES * len(nets):
        raise OutputError(f"the network has {len(onnx_bytes)} bytes, more than {MAX_BYTES} a member")
    # scores and figures are those of the network that ships: half precision, its rounding written out
    rounded = emulated(onnx_bytes)
    half = run_onnx(rounded, np.asarray(inputs))["probability"]
    scores = studies.mean(half.astype(np.float64))
    threshold = cross_validated_threshold(scores, studies.abnormal, studies.groups)
    reference, answers = reference_inputs(spec, lambda p: probabilities(picture_logits(nets, p), calibration))
    pairs: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {
        VAL: (half, probabilities(logits, calibration)),
        "reference_inputs": (run_onnx(rounded, reference)["probability"], answers),
    }
    held_out = held_out_probabilities(logits, abnormal, [studies.groups[row] for row in studies.member])
    measured = {
        **figures(studies, scores, threshold, VAL),
        "calibration_held_out": calibration_figures(examples, held_out, VAL),
    }
    return Fitted(calibration, threshold, onnx_bytes, reference, answers, measured, _parity(pairs, threshold))


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
        input=wanted.input,
        regions=text.regions,
        licence=text.licence,
        attribution=text.attribution,
        intended_use=text.intended_use,
        limits=text.limits,
        training=_training(members, dataset, wanted),
        **card_of_fit(fitted),
    )


def card_of_fit(fitted: Fitted) -> dict[str, Any]:
    """The fields of a card that follow from the validation split."""
    return {
        "threshold": fitted.threshold,
        "threshold_rule": THRESHOLD_RULE,
        "temperature": fitted.calibration.temperature,
        "calibration_bias": fitted.calibration.bias,
        "temperature_rule": TEMPERATURE_RULE,
        "figures": fitted.figures,
        "parity": fitted.parity,
    }


def _training(members: Sequence[Member], dataset: Dataset, wanted: Wanted) -> dict[str, Any]:
    first = members[0].values
    epochs = read_log(wanted.log) if wanted.log is not None else []
    return {
        "data_set": wanted.text.data_set,
        "counts": {name: counts_of(dataset, name) for name in (TRAIN, VAL)},
        "command": wanted.command or str(first.get("command", "not recorded")),
        "recipe": members[0].recipe,
        "members": len(members),
        "epochs": int(first["epoch"]) + 1 if "epoch" in first else None,
        "seconds": round(sum(float(row["sec"]) for row in epochs)) if epochs else None,
        # how often the split that the figures are of was looked at before they were taken
        "validation_looks": [int(float(row["epoch"])) for row in epochs if row.get("val_auroc") not in (None, "")],
    }


def counts_of(dataset: Dataset, split: str) -> dict[str, int]:
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


def write_folder(card: ModelCard, fitted: Fitted, features: FeatureStatistics | None, out: Path) -> ModelCard:
    """Whole or not at all; returns the card with its hashes. features: what outliers are found by; None: not known."""
    with atomic_folder(out) as new:
        identity = {"name": card.name, "version": card.version, "card_sha256": card_identity(card)}
        (new / ONNX_NAME).write_bytes(with_metadata(fitted.onnx, identity))
        save_reference_inputs(new, fitted.reference, fitted.answers)
        files = [ONNX_NAME, REFERENCE_INPUTS_NAME]
        if features is not None:
            write_statistics(features, new)
            files.append(FEATURES_NAME)
        written = write_card(card, new, tuple(files))
        load_model(new)  # what cannot be loaded is not put in place
    return written


def card_identity(card: ModelCard) -> str:
    """SHA-256 of the card without hashes, figures and parity: it is in the network's metadata, which the hashes cover,
    and figures and parity may be measured again later."""
    values = {k: v for k, v in asdict(card).items() if k not in ("hashes", "figures", "parity")}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
