"""A frame at half its size without a rounding: sums of 2 x 2 stored values, looked up in a table of four times as many
steps. A large picture is then looked up and resized at a quarter of the cost.

Means of grey levels would be rounded, and halves that round up brighten every picture; means of stored values, kept as
sums, are exact. The table is applied to the mean of four neighbours instead of to each: the same but where it bends
within what the four differ by, at the ends of a window. docs/intake.md has the figures.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mura_batch.dicom.grid import FINE, WHOLE, Grid
from mura_batch.dicom.layout import Layout
from mura_batch.dicom.native import Patterns
from mura_batch.dicom.pixels import Description

HALF = Grid(2, 1.0)  # a sum lies at the middle of its block
SUMMED = 4  # stored values in a sum
BITS = 14  # of a stored value, so that a sum of four fits 16
PIECE = 64  # rows summed at once: they stay in the processor's cache


def may_halve(d: Description, layout: Layout, grid: Grid, target: int) -> bool:
    """Whether half the size is enough for a model input of `target` pixels, and the same picture.

    Not where stored values are no numbers in order: with padding (PS3.3 C.7.5.1.1.2), half of which is nothing, or with
    a sign, whose patterns begin in the middle.
    """
    simple = d.padding is None and not layout.signed and layout.bits_allocated == 16 and layout.bits_stored <= BITS
    even = layout.rows % 2 == 0 == layout.columns % 2
    return simple and even and grid == WHOLE and 0 < 2 * FINE * target <= max(layout.rows, layout.columns)


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
