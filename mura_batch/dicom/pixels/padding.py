"""Stored values by bit pattern, and which of them are padding (PS3.3 C.7.5.1.1.2)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mura_batch.dicom.pixels.description import Description
from mura_batch.dicom.pixels.native import Patterns

_EVERY = 4  # rows and columns: a look at a sixteenth of the pixels finds what covers anything


def stored_values(d: Description) -> NDArray[np.float64]:
    """[2 ** bits_stored] by bit pattern: two's complement in Bits Stored where Pixel Representation is 1 (PS3.5
    8.1.1)."""
    patterns = np.arange(1 << d.bits_stored, dtype=np.float64)
    if not d.signed:
        return patterns
    return np.where(patterns >= 1 << (d.bits_stored - 1), patterns - (1 << d.bits_stored), patterns)


def padding_mask(d: Description, stored: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each value is Pixel Padding Value, or in the range up to Pixel Padding Range Limit."""
    if d.padding is None:
        return np.zeros(stored.shape, dtype=bool)
    return (stored >= d.padding[0]) & (stored <= d.padding[1])


def without_inner_padding(d: Description, patterns: Patterns, table: Patterns | None) -> Description:
    """Padding makes a picture rectangular, so it fills a corner. A padding value that does not is one of the picture's
    own, such as the one of saturated pixels: shown as any other, flagged.

    patterns: [H, W]. table: from pattern to stored bits, of stored_bits.pattern_table.
    """
    if d.padding is None:
        return d
    mask = padding_mask(d, stored_values(d))
    mask = mask if table is None else mask[table]
    corners = patterns[[0, 0, -1, -1], [0, -1, 0, -1]]
    if mask[corners].any() or not mask[patterns[::_EVERY, ::_EVERY]].any():
        return d
    flag = "Pixel Padding Value (0028,0120) is in no corner of the picture: shown as a value"
    return replace(d, padding=None, flags=(*d.flags, flag))
