"""Halves a frame without rounding: sums of 2 x 2 stored values, and a display table with four times as many steps. The
table look-up and the resize of a large picture then cost a quarter.

Means of grey levels would be rounded, and rounding halves up brightens every picture; sums of stored values are exact.
The table is applied to the mean of four neighbours instead of to each of them. That differs only where the table bends
within the range of the four, at the ends of a window. docs/intake.md has the figures.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mura_batch.dicom.header.layout import Layout
from mura_batch.dicom.pixels.description import Description
from mura_batch.dicom.pixels.grid import FINE_GRID, WHOLE, Grid
from mura_batch.dicom.pixels.native import Patterns
from mura_batch.dicom.pixels.voi import Table

HALF = Grid(2, 1.0)  # a sum lies at the middle of its block
SUMMED = 4  # stored values in a sum
BITS = 14  # of a stored value, so that a sum of four fits 16
PIECE = 64  # rows summed at once: they stay in the processor's cache
# Range of a picture's values over the width of its window, at most. In a narrower window four neighbours at an edge
# differ by more than the window's width: at 7 the 99.9th percentile of the difference is 5 grey levels, at 3.4 it is 2.
MAX_STEEPNESS = 4.0


def half_is_enough(layout: Layout, grid: Grid, target: int) -> bool:
    """Whether half of a frame leaves the model's resize enough samples to average. target: as in `decode`."""
    even = layout.rows % 2 == 0 == layout.columns % 2
    return grid == WHOLE and even and 0 < 2 * FINE_GRID * target <= max(layout.rows, layout.columns)


def is_gentle(d: Description, layout: Layout, shown: Table, histogram: NDArray[np.int64]) -> bool:
    """Whether the mean of stored values shows the same as the mean of their grey levels.

    Not with padding (PS3.3 C.7.5.1.1.2) or signed values, whose bit patterns are not in the order of their values, and
    not where the table is steep for the values of this picture. shown, histogram: of display_table.
    """
    if d.padding is not None or layout.signed or layout.bits_allocated != 16 or layout.bits_stored > BITS:
        return False
    cumulated = np.cumsum(histogram)
    low, high = np.searchsorted(cumulated, np.array([0.005, 0.995]) * cumulated[-1])
    return bool(np.abs(np.diff(shown)).max() * (high - low) <= MAX_STEEPNESS)


def sum_blocks(patterns: Patterns, shift: int, bits: int) -> NDArray[np.uint16]:
    """patterns: [H, W] uint16. shift, bits: position of the stored value in a pattern. Returns [H/2, W/2] sums of 2 x 2
    stored values."""
    rows, columns = patterns.shape
    sums = np.empty((rows // 2, columns // 2), np.uint16)
    mask = np.uint16((1 << bits) - 1)
    for top in range(0, rows // 2, PIECE):
        piece = patterns[2 * top : 2 * (top + PIECE)]
        piece = (piece >> np.uint16(shift)) & mask if shift else piece & mask
        pairs = (piece[0::2] + piece[1::2]).view(np.uint32)  # two neighbours in a word, added by one shift
        np.add(pairs, pairs >> np.uint32(16), out=sums[top : top + PIECE], casting="unsafe")
    return sums


def table_of_sums(shown: Table) -> Table:
    """From the sum of four stored values to the brightness of their mean."""
    count = len(shown)
    return np.interp(np.arange(SUMMED * (count - 1) + 1) / SUMMED, np.arange(count), shown)
