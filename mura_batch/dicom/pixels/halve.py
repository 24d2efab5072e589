"""A frame at half its size without a rounding: sums of 2 x 2 stored values, looked up in a table of four times as many
steps. A large picture is then looked up and resized at a quarter of the cost.

Means of grey levels would be rounded, and halves that round up brighten every picture; means of stored values, kept as
sums, are exact. The table is applied to the mean of four neighbours instead of to each: the same but where it bends
within what the four differ by, at the ends of a window. docs/intake.md has the figures.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mura_batch.dicom.header.layout import Layout
from mura_batch.dicom.pixels.description import Description
from mura_batch.dicom.pixels.grid import FINE, WHOLE, Grid
from mura_batch.dicom.pixels.native import Patterns
from mura_batch.dicom.pixels.voi import Table

HALF = Grid(2, 1.0)  # a sum lies at the middle of its block
SUMMED = 4  # stored values in a sum
BITS = 14  # of a stored value, so that a sum of four fits 16
PIECE = 64  # rows summed at once: they stay in the processor's cache
# Times that a picture's values may outrun its window. At an edge steeper than that, four neighbours differ by more than
# a window is wide: at 7 windows the 99.9th percentile of the difference is 5 grey levels, at 3.4 it is 2.
STEEP = 4.0


def is_enough(layout: Layout, grid: Grid, target: int) -> bool:
    """Whether half of a frame leaves the model's resize enough to average. target: pixels; 0: all are wanted."""
    even = layout.rows % 2 == 0 == layout.columns % 2
    return grid == WHOLE and even and 0 < 2 * FINE * target <= max(layout.rows, layout.columns)


def is_same(d: Description, layout: Layout, shown: Table, histogram: NDArray[np.int64]) -> bool:
    """Whether a mean of stored values shows what the mean of their grey levels does.

    Not where they are no numbers in order: with padding (PS3.3 C.7.5.1.1.2), or with a sign, whose patterns begin in
    the middle. Not where the table is steep, for what is in the picture. shown, histogram: of display_table.
    """
    if d.padding is not None or layout.signed or layout.bits_allocated != 16 or layout.bits_stored > BITS:
        return False
    cumulated = np.cumsum(histogram)
    low, high = np.searchsorted(cumulated, np.array([0.005, 0.995]) * cumulated[-1])
    return bool(np.abs(np.diff(shown)).max() * (high - low) <= STEEP)


def halved(patterns: Patterns, shift: int, bits: int) -> NDArray[np.uint16]:
    """[H, W] uint16 -> [H/2, W/2] sums of four. shift, bits: where in a pattern its stored value lies."""
    rows, columns = patterns.shape
    sums = np.empty((rows // 2, columns // 2), np.uint16)
    mask = np.uint16((1 << bits) - 1)
    for top in range(0, rows // 2, PIECE):
        piece = patterns[2 * top : 2 * (top + PIECE)]
        piece = (piece >> np.uint16(shift)) & mask if shift else piece & mask
        pairs = (piece[0::2] + piece[1::2]).view(np.uint32)  # two neighbours in a word: added by one shift
        np.add(pairs, pairs >> np.uint32(16), out=sums[top : top + PIECE], casting="unsafe")
    return sums


def table_of_sums(shown: Table) -> Table:
    """From the sum of four stored values to the brightness of their mean."""
    count = len(shown)
    return np.interp(np.arange(SUMMED * (count - 1) + 1) / SUMMED, np.arange(count), shown)
