"""Aligns a frame decoded at a fraction of its size with the whole frame, so that the model input depends neither on the
codec nor on the fraction. docs/intake.md has the figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FINE_GRID = 3.0  # times the model's size: on a coarser grid the model's resize has too few samples to average


@dataclass(frozen=True, slots=True)
class Grid:
    """Where samples lie. reduction: pixels of the whole frame from one to the next. first: centre of the first one, in
    pixels from the edge: reduction / 2 where each is the mean of a block, 0.5 where it sits on a pixel."""

    reduction: int = 1
    first: float = 0.5


WHOLE = Grid()


# The 5/3 wavelet's low-pass (-1/8, 1/4, 3/4, 1/4, -1/8; ISO/IEC 15444-1 F.3.8.2) raises the middle of its own band:
# at a quarter of the sampling rate that is left by 1.104 after one level, 1.142 after two, 1.153 after three. There the
# filter (a, 1 - 2a, a) has the gain 1 - 2a. The 9/7 wavelet stays within 5 % and is left alone.
SIDE_WEIGHTS = {level: (1 - 1 / gain) / 2 for level, gain in ((2, 1.104), (4, 1.142), (8, 1.153))}


def remove_wavelet_gain(
    low: NDArray[np.unsignedinteger[Any]], reduction: int, bits: int
) -> NDArray[np.unsignedinteger[Any]]:
    """low: [H, W] a reversible JPEG 2000 frame of `bits` bits decoded at 1/reduction of its size. Returns it without
    the sharpening of its wavelet, equal to an average of the whole frame; the same dtype."""
    side = np.float32(SIDE_WEIGHTS.get(reduction, SIDE_WEIGHTS[8]))
    values = np.pad(low, 1, mode="edge").astype(np.float32)
    down = _filtered(values[:-2], values[1:-1], values[2:], side)
    across = _filtered(down[:, :-2], down[:, 1:-1], down[:, 2:], side)
    return np.clip(np.rint(across, out=across), 0, (1 << bits) - 1, out=across).astype(low.dtype)


def _filtered(
    before: NDArray[np.float32], centre: NDArray[np.float32], after: NDArray[np.float32], side: np.float32
) -> NDArray[np.float32]:
    """The filter (side, 1 - 2 side, side) over neighbours."""
    total = before + after
    total -= 2 * centre
    total *= side
    total += centre
    return total


def aligned_with_frame(
    reduced: NDArray[np.uint8], grid: Grid, rows: int, columns: int, target: int
) -> NDArray[np.uint8]:
    """reduced: [H, W] display image on the grid. rows, columns: of the whole frame. target: as in `decode`.

    Returns a display image that spans the whole frame exactly, of the same size, or of twice the size where that is
    below FINE_GRID times the target.
    """
    if grid.reduction == 1:
        return reduced
    height, width = reduced.shape
    finer = 1 if max(height, width) >= FINE_GRID * target else 2
    if (
        finer == 1
        and grid.first == grid.reduction / 2
        and (height, width) == (rows / grid.reduction, columns / grid.reduction)
    ):
        return reduced  # means of blocks that fill the frame are aligned with it
    edge = 0.5 - grid.first / grid.reduction  # the frame's edge, in samples from the edge of the first sample
    box = (edge, edge, edge + columns / grid.reduction, edge + rows / grid.reduction)
    padded = Image.fromarray(np.pad(reduced, ((0, 1), (0, 1)), mode="edge"))  # the box may reach beyond the last sample
    return np.asarray(padded.resize((finer * width, finer * height), Image.Resampling.BICUBIC, box))
