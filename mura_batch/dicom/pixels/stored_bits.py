"""Where in a sample its stored value lies (PS3.5 8.1.1), and what is done where the header and the data disagree.

Rules, in this order; each leaves a flag, and none is applied unless the data prove it:

1. High Bit below Bits Stored - 1, or not inside Bits Allocated, cannot be: the values have High Bit + 1 bits if all
   fit, else High Bit is Bits Stored - 1.
2. High Bit above Bits Stored - 1 says that the values are shifted up. Where no sample uses a bit that only shifted
   values reach, and some use bits below a shifted value, they are not shifted. The other way round, where High Bit says
   that they are not, and all leave as many of the lowest bits at zero as there are to spare, they are.
3. Bits above High Bit are no part of the value (overlays, garbage) and are masked. Where that tears the picture, they
   are part of it: neighbouring samples then differ less with these bits than without. If few samples have them they are
   overshoots of a lossy codec and take the largest value; else the values have more bits than Bits Stored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mura_batch.dicom.header.layout import Layout
from mura_batch.dicom.pixels.native import Patterns

_FEW = 0.01  # share of the samples; a lossy codec overshoots at sharp edges only
_SMOOTHER = 0.9  # a picture that bits belong to is at least this much smoother with them
_ROWS = 64  # of the picture that are compared


@dataclass(frozen=True, slots=True)
class StoredBits:
    """bits: of a stored value. shift: bits below it. clipped: larger values take the largest, instead of being
    masked."""

    bits: int
    shift: int = 0
    clipped: bool = False
    flags: tuple[str, ...] = ()


def find_stored_bits(layout: Layout, patterns: Patterns, sample: Patterns, has_high_bit: bool) -> StoredBits:
    """patterns: [H, W] samples as they lie in memory. sample: some of them, by which a disagreement is noticed.
    has_high_bit: of DecodedFrame."""
    bits, high = layout.bits_stored, layout.high_bit if has_high_bit else layout.bits_stored - 1
    if high < bits - 1 or high >= layout.bits_allocated:
        named = f"High Bit (0028,0102) {high} contradicts Bits Stored (0028,0101) {bits}"
        if 2 <= high + 1 < bits and _fits(sample, high + 1, layout.signed):
            return StoredBits(high + 1, flags=(f"{named}: values have {high + 1} bits",))
        return StoredBits(bits, flags=(f"{named}: values have {bits} bits",))
    shift = high + 1 - bits
    if shift:
        if _fits(sample, bits, layout.signed) and np.any(sample & ((1 << shift) - 1)):
            return StoredBits(
                bits, flags=(f"High Bit (0028,0102) {high} contradicts the data: values are not shifted",)
            )
        return StoredBits(bits, shift)
    if _fits(sample, bits, layout.signed):
        return StoredBits(bits)
    return _with_bits_above(layout, patterns, sample)


def _with_bits_above(layout: Layout, patterns: Patterns, sample: Patterns) -> StoredBits:
    """Rule 3."""
    bits = layout.bits_stored
    spare = layout.bits_allocated - bits
    if not np.any(sample & ((1 << spare) - 1)):
        flag = f"High Bit (0028,0102) {bits - 1} contradicts the data: the values are shifted up by {spare} bits"
        return StoredBits(bits, spare, flags=(flag,))
    rows = patterns[:: max(1, patterns.shape[0] // _ROWS)]
    masked = _roughness(_values(rows, bits, layout.signed))
    few = np.mean(sample >= 1 << bits) <= _FEW and not layout.signed
    if few:
        if _roughness(np.minimum(rows, (1 << bits) - 1).astype(np.float32)) < masked:
            return StoredBits(bits, clipped=True, flags=(f"values above {bits} bits stored: clipped",))
        return StoredBits(bits)
    needed = next(n for n in range(bits + 1, layout.bits_allocated + 1) if _fits(sample, n, layout.signed))
    if _roughness(_values(rows, needed, layout.signed)) < _SMOOTHER * masked:
        return StoredBits(needed, flags=(f"values have {needed} bits, Bits Stored (0028,0101) is {bits}",))
    return StoredBits(bits)


def _fits(sample: Patterns, bits: int, signed: bool) -> bool:
    """Whether every sample is a value of so many bits; what lies above those of a signed one is zero or its sign."""
    if bits >= 8 * sample.itemsize or int(sample.max()) < 1 << bits:
        return True
    if not signed:
        return False
    values = sample.view(sample.dtype.str.replace("u", "i"))
    return -(1 << bits - 1) <= int(values.min()) and int(values.max()) < 1 << bits


def _values(patterns: Patterns, bits: int, signed: bool) -> NDArray[np.float32]:
    low = (patterns & ((1 << bits) - 1)).astype(np.float32)
    return np.where(low >= 1 << bits - 1, low - (1 << bits), low) if signed else low


def _roughness(rows: NDArray[np.float32]) -> float:
    """Mean difference of neighbours."""
    return float(np.abs(np.diff(rows, axis=1)).mean()) if rows.shape[1] > 1 else 0.0


def with_bits(layout: Layout, stored: StoredBits) -> Layout:
    """The layout as the data prove it."""
    return layout if stored.bits == layout.bits_stored else replace(layout, bits_stored=stored.bits)


@lru_cache(maxsize=8)  # the radiographs of one device are alike in this
def pattern_table(pattern: np.dtype[Any], bits: int, shift: int, clipped: bool) -> Patterns | None:
    """[256] or [65536] sample as it lies in memory -> the `bits` bits of its stored value; None where they are the
    same."""
    size = 8 * pattern.itemsize
    if bits >= size and not shift:
        return None
    values = np.arange(1 << size) >> shift
    mask = (1 << bits) - 1
    table: Patterns = (np.minimum(values, mask) if clipped else values & mask).astype(pattern)
    table.flags.writeable = False
    return table
