"""A frame decoded at a fraction of its size, put where the whole one lies: so that what the model sees depends neither
on the codec nor on the fraction. docs/intake.md has the figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FINE = 3.0  # times the model's size: on a coarser grid than this the resize that follows has too few samples to average


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
SIDE = {level: (1 - 1 / gain) / 2 for level, gain in ((2, 1.104), (4, 1.142), (8, 1.153))}


def flattened(low: NDArray[np.unsignedinteger[Any]], reduction: int, bits: int) -> NDArray[np.unsignedinteger[Any]]:
    """What a reversible JPEG 2000 frame of `bits` bits gives at 1/reduction of its size, without the sharpening that
    its wavelet left in: so that it equals an average of the whole frame. [H, W], the type is kept."""
    side = np.float32(SIDE.get(reduction, SIDE[8]))
    values = np.pad(low, 1, mode="edge").astype(np.float32)
    values += side * (np.roll(values, 1, 0) + np.roll(values, -1, 0) - 2 * values)
    values += side * (np.roll(values, 1, 1) + np.roll(values, -1, 1) - 2 * values)
    return np.clip(np.rint(values[1:-1, 1:-1]), 0, (1 << bits) - 1).astype(low.dtype)


def restored(reduced: NDArray[np.uint8], grid: Grid, rows: int, columns: int, target: int) -> NDArray[np.uint8]:
    """reduced: display image on the grid. rows, columns: of the whole frame. Returns a display image that spans the
    whole frame exactly, of the same number of samples, or of twice as many a side where they are few for `target`."""
    if grid.reduction == 1:
        return reduced
    height, width = reduced.shape
    finer = 1 if max(height, width) >= FINE * target else 2
    if (
        finer == 1
        and grid.first == grid.reduction / 2
        and (height, width) == (rows / grid.reduction, columns / grid.reduction)
    ):
        return reduced  # means of blocks that fill the frame: they lie where they should
    edge = 0.5 - grid.first / grid.reduction  # the frame's edge, in samples from the edge of the first sample
    box = (edge, edge, edge + columns / grid.reduction, edge + rows / grid.reduction)
    padded = Image.fromarray(np.pad(reduced, ((0, 1), (0, 1)), mode="edge"))  # the box may reach beyond the last sample
    return np.asarray(padded.resize((finer * width, finer * height), Image.Resampling.BICUBIC, box))
