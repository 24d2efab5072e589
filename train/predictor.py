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
from train.fp16 import run_onnx
from train.graph import scoring_graph
from train.members import input_size, read_member

BATCH = 32
MURA_THRESHOLD = 0.5  # arXiv:1712.06957, section 3.1: "abnormal if the probability is greater than 0.5"

Pictures = NDArray[np.uint8]  # [N, S, S]
Scored = tuple[NDArray[np.float64], NDArray[np.float32]]  # probability [N], cam [N, h, w]


@dataclass(frozen=True, slots=True)
class Predictor:
    """name: for headings. threshold: abnormal above it."""

    name: str
    size: int
    threshold: float
    score: Callable[[Pictures], Scored]

    def run(self, inputs: Pictures, flips: bool = False) -> Scored:
        """flips: the mean over a picture and its mirror image, whose map is mirrored back."""
        probability, cam = self.score(inputs)
        if not flips:
            return probability, cam
        mirrored, mirrored_cam = self.score(np.ascontiguousarray(inputs[:, :, ::-1]))
        return (probability + mirrored) / 2, ((cam + mirrored_cam[:, :, ::-1]) / 2).astype(np.float32)


def open_predictor(paths: Sequence[Path], size: int | None = None, threshold: float | None = None) -> Predictor:
    """One model folder, whose card gives size and threshold, or checkpoints, with MURA's threshold unless another is
    given. Raises InputError when folders and checkpoints are mixed or a card is contradicted."""
    if any((path / CARD_NAME).is_file() for path in paths):
        if len(paths) > 1 or size is not None:
            raise InputError("give one model folder and no --size, or checkpoints")
        model = load_model(paths[0])
        network = model.onnx.read_bytes()
        chosen = model.card.threshold if threshold is None else threshold
        return Predictor(model.card.name, model.card.input.size, chosen, lambda inputs: _run_onnx(network, inputs))
    members = [read_member(path) for path in paths]
    graph = scoring_graph([m.net for m in members])
    name = paths[0].name if len(paths) == 1 else f"ensemble of {len(paths)}"
    return Predictor(
        name,
        input_size(members, size),
        MURA_THRESHOLD if threshold is None else threshold,
        lambda inputs: _run_torch(graph, inputs),
    )


def _run_onnx(network: bytes, inputs: Pictures) -> Scored:
    outputs = run_onnx(network, inputs)
    return outputs["probability"].astype(np.float64), outputs["cam"]


@torch.inference_mode()
def _run_torch(graph: torch.nn.Module, inputs: Pictures) -> Scored:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    graph = graph.to(device).to(memory_format=torch.channels_last)
    parts = []
    for i in range(0, len(inputs), BATCH):
        batch = torch.from_numpy(np.array(inputs[i : i + BATCH]))[:, None].to(device)
        probability, cam, _ = graph(batch)
        parts.append((probability.double().cpu().numpy(), cam.float().cpu().numpy()))
    return np.concatenate([p for p, _ in parts]), np.concatenate([c for _, c in parts])
