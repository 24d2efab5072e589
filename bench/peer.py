"""The peer of every ratio: a straightforward script. pydicom, Pillow and eager torch, one step after another.

python -m bench.peer STUDIES --out scores.csv
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

if TYPE_CHECKING:
    import torch

SIZE, BATCH = 320, 8
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def read(path: Path, size: int = SIZE) -> tuple[str, NDArray[np.uint8]]:
    """(StudyInstanceUID, picture [size, size] uint8)."""
    data = dcmread(path)
    values = apply_voi_lut(apply_modality_lut(data.pixel_array, data), data)
    low, high = values.min(), values.max()
    grey = ((values - low) / (high - low) * 255).astype(np.uint8)
    if data.PhotometricInterpretation == "MONOCHROME1":
        grey = 255 - grey
    picture = Image.fromarray(grey).resize((size, size), Image.Resampling.BILINEAR)
    return str(data.StudyInstanceUID), np.asarray(picture)


def network() -> torch.nn.Module:
    """DenseNet169 with one output. Its weights are random: the time does not depend on them."""
    import torch
    import torchvision

    torch.manual_seed(0)
    net: torch.nn.Module = torchvision.models.densenet169(weights=None, num_classes=1)
    return net.eval()


def score(net: torch.nn.Module, pictures: list[NDArray[np.uint8]]) -> list[float]:
    """Probabilities of [S, S] uint8 pictures, as one batch."""
    import torch

    images = torch.from_numpy(np.stack(pictures)).float()[:, None].expand(-1, 3, -1, -1) / 255
    images = (images - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    with torch.inference_mode():
        return [float(p) for p in torch.sigmoid(net(images)).squeeze(1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=SIZE)
    chosen = parser.parse_args()
    net, scores = network(), defaultdict[str, list[float]](list)
    files = sorted(path for path in chosen.studies.rglob("*") if path.is_file())
    for first in range(0, len(files), BATCH):
        read_ones = [read(path, chosen.size) for path in files[first : first + BATCH]]
        for (study, _), probability in zip(read_ones, score(net, [p for _, p in read_ones]), strict=True):
            scores[study].append(probability)
    with chosen.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["study_uid", "probability"])
        writer.writerows((study, sum(values) / len(values)) for study, values in scores.items())


if __name__ == "__main__":
    main()
