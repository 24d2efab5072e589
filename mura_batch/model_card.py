"""The model folder: `model.json` (the card that machines read) and `model.onnx`, loaded only if every hash matches."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from mura_batch.atomic_files import SHARED, write_atomic
from mura_batch.errors import ModelError, PreprocessError
from mura_batch.preprocess import InputSpec
from mura_batch.regular_files import open_regular, read_json

CARD_NAME = "model.json"
ONNX_NAME = "model.onnx"
# What parity gates are run on: array `images` uint8 [N, 1, S, S], and, where the export wrote it, `probability` float32
# [N]: what the network in float32 says of them, so that no runner need ask it again.
REFERENCE_INPUTS_NAME = "reference_inputs.npz"
# Beside them, where `python -m train quantize` made it: how large each channel of each convolution's input gets.
INT8_NAME = "int8.npz"
# Where the export wrote it: mean and shrunk covariance of `features` over training pictures, for outliers.
FEATURES_NAME = "features.npz"
CARD_FORMAT = 1


@dataclass(frozen=True, slots=True)
class ModelCard:
    """model.json. Free-form dictionaries hold what only people read; everything the program acts on is a field."""

    name: str
    version: str
    input: InputSpec
    threshold: float  # a study is abnormal if its score is greater
    threshold_rule: str  # how it was chosen, in words
    regions: tuple[str, ...]  # Region values that it was trained on
    temperature: float  # probability = sigmoid(logit / temperature + calibration_bias); 1.0 and 0.0: uncalibrated
    temperature_rule: str
    licence: str
    attribution: str
    intended_use: str
    limits: tuple[str, ...]
    training: dict[str, Any]  # data set, counts, recipe, seed, time, command
    figures: dict[str, Any]  # each with value, low, high, method, n, and the split it was measured on
    parity: dict[str, Any]  # FP16 graph against float32: max_abs, mean_abs, flips, n; and "int8" likewise, where made
    calibration_bias: float = 0.0  # 0.0 in cards that were written before there was a bias
    hashes: dict[str, str] = field(default_factory=dict)  # file name -> SHA-256, hex
    format: int = CARD_FORMAT


@dataclass(frozen=True, slots=True)
class Model:
    """A model folder: `load_model` has verified its files, `read_model` has not."""

    folder: Path
    card: ModelCard

    @property
    def onnx(self) -> Path:
        return self.folder / ONNX_NAME

    @property
    def reference_inputs(self) -> Path:
        return self.folder / REFERENCE_INPUTS_NAME

    @property
    def has_feature_statistics(self) -> bool:
        return FEATURES_NAME in self.card.hashes

    @property
    def int8(self) -> Path:
        """What the CPU runner makes an int8 network by, where the folder has it."""
        return self.folder / INT8_NAME

    @property
    def int8_hash(self) -> str:
        """SHA-256 of it; '' where the folder has none."""
        return self.card.hashes.get(INT8_NAME, "")

    @property
    def hash(self) -> str:
        """SHA-256 of the network, calibration included: it names the model in the ledger."""
        return self.card.hashes[ONNX_NAME]


def load_model(folder: Path) -> Model:
    """Reads the card and checks every hash in it. Raises ModelError that says what is wrong and how to fix it."""
    model = read_model(folder)
    verify_model(model)
    return model


def read_model(folder: Path) -> Model:
    """Reads the card alone; `verify_model` holds the other files to it before one of them is used. Raises
    ModelError."""
    path = folder / CARD_NAME
    if not path.is_file():
        raise ModelError(
            f"{folder} is not a model folder: it has no {CARD_NAME}. Make one with: python -m train export"
        )
    card = parse_card(_read_json(path), path)
    for required in (ONNX_NAME, REFERENCE_INPUTS_NAME):
        if required not in card.hashes:
            raise ModelError(f"{path} has no hash for {required}; export the model again")
    return Model(folder=folder, card=card)


def verify_model(model: Model) -> None:
    """Raises ModelError where a file is not the one that the card describes."""
    for name, expected in model.card.hashes.items():
        _verify(model.folder, name, expected)


def write_card(card: ModelCard, folder: Path, files: tuple[str, ...] = (ONNX_NAME, REFERENCE_INPUTS_NAME)) -> ModelCard:
    """Hashes the files of the folder into the card and writes model.json; returns the card as written."""
    values = {f.name: getattr(card, f.name) for f in fields(card)}
    values["hashes"] = {name: sha256_of(folder / name) for name in files}
    done = ModelCard(**values)
    text = json.dumps(asdict(done), indent=2, ensure_ascii=False) + "\n"
    write_atomic(folder / CARD_NAME, text.encode(), mode=SHARED)
    return done


def parse_card(values: dict[str, Any], path: Path) -> ModelCard:
    """Strict: a missing or unknown field, or an impossible value, is a ModelError that names it."""
    if values.get("format") != CARD_FORMAT:
        raise ModelError(f"{path}: card format {values.get('format')!r}; this version reads format {CARD_FORMAT}")
    known = {f.name for f in fields(ModelCard)}
    if missing := sorted(known - values.keys() - {"calibration_bias"}):
        raise ModelError(f"{path}: missing {', '.join(missing)}; export the model again")
    if unknown := sorted(values.keys() - known):
        raise ModelError(f"{path}: unknown {', '.join(unknown)}; it was written by a newer version")
    try:
        spec = InputSpec(**values["input"])
        card = ModelCard(
            **{**values, "input": spec, "regions": tuple(values["regions"]), "limits": tuple(values["limits"])}
        )
        in_range = 0 < float(card.threshold) < 1 and float(card.temperature) > 0
        in_range = in_range and math.isfinite(float(card.calibration_bias))
    except (TypeError, ValueError, PreprocessError) as error:
        raise ModelError(f"{path}: {error}") from error
    if not in_range:
        raise ModelError(
            f"{path}: threshold {card.threshold}, temperature {card.temperature} or calibration_bias "
            f"{card.calibration_bias} is out of range"
        )
    return card


def sha256_of(path: Path) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = read_json(path)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise ModelError(f"{path} is not a JSON object")
    return values


def _verify(folder: Path, name: str, expected: str) -> None:
    if Path(name).name != name:
        raise ModelError(f"{folder / CARD_NAME}: {name!r} is not a plain file name")
    path = folder / name
    if not path.is_file():
        raise ModelError(f"{path} is missing; copy the whole model folder again")
    if (actual := sha256_of(path)) != expected:
        raise ModelError(
            f"{path} is not the file its card describes (SHA-256 {actual[:12]}..., expected {expected[:12]}...); "
            "copy the model folder again, or export the model again"
        )
