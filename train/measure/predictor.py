"""A trained model behind one face: checkpoints (one, or an ensemble) or an exported model folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mura_batch.errors import InputError
from mura_batch.model_card import CARD_NAME, load_model
from mura_batch.preprocess import InputSpec
from mura_batch.progress import progress_bar
from train.fit.processes import device_words, pick_device
from train.models.float16_rounding import run_onnx
from train.models.logits import strict_float32
from train.models.members import input_spec, read_member
from train.models.scoring_graph import scoring_graph

BATCH = 32
MURA_THRESHOLD = 0.5  # arXiv:1712.06957, section 3.1: "abnormal if the probability is greater than 0.5"

Pictures = NDArray[np.uint8]  # [N, S, S]
Scored = tuple[NDArray[np.float64], NDArray[np.float32]]  # probability [N], cam [N, h, w]


@dataclass(frozen=True, slots=True)
class Predictor:
    """name: for headings. threshold: abnormal above it. score: of BATCH pictures at most. device: in words, where it
    computes and why there."""

    name: str
    input: InputSpec
    threshold: float
    score: Callable[[Pictures], Scored]
    device: str = "on the CPU"

    def run(self, inputs: Pictures, flips: bool = False) -> Scored:
        """flips: the mean over a picture and its mirror image, whose map is mirrored back."""
        probability, cam = self._all(inputs)
        if not flips:
            return probability, cam
        mirrored, mirrored_cam = self._all(inputs[:, :, ::-1])
        return (probability + mirrored) / 2, ((cam + mirrored_cam[:, :, ::-1]) / 2).astype(np.float32)

    def _all(self, inputs: Pictures) -> Scored:
        parts = []
        with progress_bar("scoring", len(inputs)) as advance:
            for i in range(0, len(inputs), BATCH):
                parts.append(self.score(np.array(inputs[i : i + BATCH])))
                advance(i + len(parts[-1][0]), "")
        return np.concatenate([p for p, _ in parts]), np.concatenate([c for _, c in parts])


def open_predictor(
    paths: Sequence[Path], size: int | None = None, threshold: float | None = None, device: str = "auto"
) -> Predictor:
    """One model folder, whose card gives size and threshold, or checkpoints, with MURA's threshold unless another is
    given. Raises InputError when folders and checkpoints are mixed, a card is contradicted or a device is missing."""
    if any((path / CARD_NAME).is_file() for path in paths):
        if len(paths) > 1 or size is not None:
            raise InputError("give one model folder and no --size, or checkpoints")
        return _of_folder(paths[0], threshold, device)
    members, place = [read_member(path) for path in paths], pick_device(device)
    graph = scoring_graph([m.net for m in members]).to(place).to(memory_format=torch.channels_last)
    return Predictor(
        name=paths[0].name if len(paths) == 1 else f"ensemble of {len(paths)}",
        input=input_spec(members, size),
        threshold=MURA_THRESHOLD if threshold is None else threshold,
        score=lambda inputs: _run_torch(graph, inputs, place),
        device=device_words(device, place),
    )


def _of_folder(path: Path, threshold: float | None, device: str) -> Predictor:
    if device == "cuda":
        raise InputError(
            f"--device cuda: {path} is a model folder, which ONNX Runtime runs on the CPU; give checkpoints"
        )
    model = load_model(path)
    network = model.onnx.read_bytes()
    return Predictor(
        name=model.card.name,
        input=model.card.input,
        threshold=model.card.threshold if threshold is None else threshold,
        score=lambda inputs: _run_onnx(network, inputs),
        device="on the CPU (by ONNX Runtime, as it is a model folder)",
    )


def _run_onnx(network: bytes, inputs: Pictures) -> Scored:
    outputs = run_onnx(network, inputs)
    return outputs["probability"].astype(np.float64), outputs["cam"]


@torch.inference_mode()
def _run_torch(graph: torch.nn.Module, inputs: Pictures, device: torch.device) -> Scored:
    with strict_float32():
        probability, cam, _ = graph(torch.from_numpy(inputs)[:, None].to(device))
    return probability.double().cpu().numpy(), cam.float().cpu().numpy()
