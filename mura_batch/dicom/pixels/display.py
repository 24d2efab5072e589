"""Stored values -> display image, by DICOM PS3.3: one lookup table composed of the modality transform, the VOI
transform and the polarity, in float64, and one `take`.

    stored bits -> modality LUT or rescale (C.11.1) -> window or VOI LUT (C.11.2) -> inversion (C.7.6.3.1.2) -> 0..255
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mura_batch.dicom.refused import Refused
from mura_batch.records import Reason

Table = NDArray[np.float64]  # one value for each stored bit pattern: [2 ** bits_stored]

PIECE = 1 << 17  # pixels looked up at once: a MB of indices
EMPTY_SHARE = 0.99  # a window that sends more of the picture than this to black or white alone shows nothing
USED_SHARE = 0.5  # without a window, a picture that uses less of its nominal range than this gets percentiles
LOW, HIGH = 0.5, 99.5  # percentiles: a marker of lead or a hot pixel does not decide the window


@dataclass(frozen=True, slots=True)
class Lut:
    """A lookup table of PS3.3 C.11.1.1: first stored value mapped, bits of an entry, and the entries."""

    first: int
    bits: int
    entries: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Description:
    """What a header tells of its pixel values. padding: lowest and highest stored value that is no picture."""

    bits_stored: int
    signed: bool
    photometric: str
    slope: float = 1.0
    intercept: float = 0.0
    modality_lut: Lut | None = None
    voi_lut: Lut | None = None
    windows: tuple[tuple[float, float], ...] = ()  # (center, width)
    function: str = "LINEAR"
    padding: tuple[int, int] | None = None
    shape: str = ""  # Presentation LUT Shape (2050,0020)
    is_xrf: bool = False
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rendering:
    """How a table was made: the words of PixelDecisions."""

    modality_transform: str
    voi: str
    center: float | None
    width: float | None
    polarity: str
    polarity_reason: str
    flags: tuple[str, ...]


def display_table(d: Description, histogram: NDArray[np.int64], voi: str) -> tuple[Table, Rendering]:
    """The table from stored bit pattern to brightness, 0 to 1, bone bright as the device meant it.

    histogram: [2 ** bits_stored] how often each bit pattern occurs in the part of the picture that was exposed, or in
    an even sample of it.
    voi: 'auto', 'window', 'lut' or 'percentiles'. Raises Refused(BLANK_IMAGE) on a picture of one value.
    """
    stored = _stored_values(d)
    padded = _padded(d, stored)
    counts = np.where(padded, 0, histogram)
    if np.count_nonzero(counts) <= 1:
        raise Refused(Reason.BLANK_IMAGE, "the pixels that are no padding have one value")
    values, transform, flags = _modality(d, stored)
    shown, words, center, width, more = _voi(d, values, counts, voi)
    inverted, why, contradiction = _polarity(d)
    if inverted:
        shown = 1.0 - shown
    shown = np.where(padded, 0.0, shown)  # padding is no picture: black, like the letterbox
    flags = (*flags, *more, *contradiction)
    return shown, Rendering(transform, words, center, width, "inverted" if inverted else "as stored", why, flags)


def grey_levels(shown: Table) -> NDArray[np.uint8]:
    """Brightness as the 8 bits of a display image."""
    return np.rint(shown * 255.0).astype(np.uint8)


def looked_up(table: NDArray[np.uint8], patterns: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.uint8]:
    """[H, W] grey levels of [H, W] bit patterns. Piece by piece: numpy makes indices of 8 bytes of the patterns, which
    would be 40 MB of a picture of 5 million pixels and stays in the processor's cache for a few rows."""
    shown = np.empty(patterns.shape, np.uint8)
    rows = max(1, PIECE // max(1, patterns.shape[1]))
    for top in range(0, patterns.shape[0], rows):
        # every pattern is in the table: clip spares the check, and with it another copy
        np.take(table, patterns[top : top + rows], out=shown[top : top + rows], mode="clip")
    return shown


def _stored_values(d: Description) -> Table:
    """PS3.5 8.1.1: two's complement in Bits Stored where Pixel Representation is 1."""
    patterns = np.arange(1 << d.bits_stored, dtype=np.float64)
    return (
        np.where(patterns >= 1 << (d.bits_stored - 1), patterns - (1 << d.bits_stored), patterns)
        if d.signed
        else patterns
    )


def _padded(d: Description, stored: Table) -> NDArray[np.bool_]:
    """PS3.3 C.7.5.1.1.2: Pixel Padding Value, or the range up to Pixel Padding Range Limit."""
    if d.padding is None:
        return np.zeros(stored.shape, dtype=bool)
    return (stored >= d.padding[0]) & (stored <= d.padding[1])


def _modality(d: Description, stored: Table) -> tuple[Table, str, tuple[str, ...]]:
    """PS3.3 C.11.1.1.1 (LUT) and C.11.1.1.2 (rescale). An X-Ray Fluoroscopy or Angiography image carries a LUT that
    undoes the detector's logarithm and is not to be displayed through (C.8.7.1.1.2)."""
    if d.modality_lut is not None and d.is_xrf:
        return stored, "ignored: the modality LUT of an XA/RF image is not for display", ()
    if d.modality_lut is None and (d.slope, d.intercept) == (1, 0):
        return stored, "none", ()
    values = _through(d.modality_lut, stored) if d.modality_lut is not None else stored * d.slope + d.intercept
    if values.max() - values.min() < 1e-9 * max(1.0, abs(float(values.max()))):  # slope 0, or as good as
        return stored, "none", ("the modality transform makes all values the same: not applied",)
    return values, "lut" if d.modality_lut is not None else "rescale", ()


def _through(lut: Lut, values: Table) -> Table:
    """PS3.3 C.11.1.1: values below the first mapped get the first entry, those above the last get the last."""
    entries = np.asarray(lut.entries, dtype=np.float64)
    index = np.clip(np.rint(values) - lut.first, 0, len(entries) - 1).astype(np.intp)
    taken: Table = entries[index]
    return taken


def _voi(
    d: Description, values: Table, counts: NDArray[np.int64], voi: str
) -> tuple[Table, str, float | None, float | None, tuple[str, ...]]:
    """(0..1 for each pattern, words, center, width, flags), by the first rule that shows a picture."""
    flags: list[str] = []
    if voi in {"auto", "window"}:
        for center, width in _usable(d, flags):
            shown = window(values, center, width, d.function)
            if not _empty(shown, counts):
                return shown, f"window {d.function.lower()}", center, width, tuple(flags)
            flags.append(f"window {center:g}/{width:g} shows nothing")
            break  # the first usable window is the device's default; a later one is another purpose's
    if voi in {"auto", "lut"} and d.voi_lut is not None:
        shown = _through(d.voi_lut, values) / white_level(d.voi_lut, flags)
        if not _empty(shown, counts):
            return shown, "voi lut", None, None, tuple(flags)
        flags.append("the VOI LUT shows nothing")
    return _without_voi(d, values, counts, voi, flags)


def white_level(lut: Lut, flags: list[str]) -> float:
    """The output that is white: 2 ** bits - 1 (C.11.2.1.1). Devices write tables of 12 bits and say 16, which would be
    black, or say 8 and write more: then the bits that the largest entry needs."""
    needed = max(lut.entries).bit_length()
    if lut.bits - 2 <= needed <= lut.bits:
        return float((1 << lut.bits) - 1)
    flags.append(f"the VOI LUT says {lut.bits} bits and uses {needed}")
    return float((1 << max(needed, 1)) - 1)


def _without_voi(
    d: Description, values: Table, counts: NDArray[np.int64], voi: str, flags: list[str]
) -> tuple[Table, str, float | None, float | None, tuple[str, ...]]:
    """The full range where the picture fills it (C.11.2.1: no VOI transform means the identity), else percentiles."""
    low, high = _percentiles(values, counts)
    bottom, top = _nominal(d, values)
    if voi == "auto" and not flags and high - low >= USED_SHARE * (top - bottom):
        return np.clip((values - bottom) / (top - bottom), 0, 1), "full range", None, None, ()
    if high <= low:
        low, high = float(values[counts > 0].min()), float(values[counts > 0].max())
    if high <= low:
        raise Refused(Reason.BLANK_IMAGE, "every pixel has the same value after the modality transform")
    if voi in {"auto", "percentiles"} or flags:
        flags = [*flags, "window taken from percentiles"]
    else:
        flags = [f"no {voi} in the file: window taken from percentiles"]
    return np.clip((values - low) / (high - low), 0, 1), "percentiles", (low + high) / 2, high - low, tuple(flags)


def _usable(d: Description, flags: list[str]) -> Sequence[tuple[float, float]]:
    """Windows whose width the function allows: LINEAR at least 1 (C.11.2.1.2.1), the others more than 0."""
    if d.function not in {"LINEAR", "LINEAR_EXACT", "SIGMOID"}:
        flags.append(f"VOI LUT Function {d.function[:16]!r} is not known")
        return ()
    smallest = 1.0 if d.function == "LINEAR" else 1e-9
    usable = [(center, width) for center, width in d.windows if width >= smallest]
    if d.windows and not usable:
        flags.append("window width is not usable")
    return usable


def window(values: Table, center: float, width: float, function: str) -> Table:
    """PS3.3 C.11.2.1.2.1 LINEAR, C.11.2.1.3.2 LINEAR_EXACT, C.11.2.1.3.1 SIGMOID; 0 to 1."""
    if function == "SIGMOID":
        return np.asarray(1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - center) / width, -700, 700))))
    if function == "LINEAR_EXACT":
        return np.clip((values - center) / width + 0.5, 0, 1)
    if width == 1:
        return (values > center - 0.5).astype(np.float64)
    return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def _empty(shown: Table, counts: NDArray[np.int64]) -> bool:
    total = counts.sum()
    black, white = counts[shown <= 0].sum(), counts[shown >= 1].sum()
    return bool(max(black, white) > EMPTY_SHARE * total) or bool(
        shown[counts > 0].max() - shown[counts > 0].min() < 2 / 255
    )


def _percentiles(values: Table, counts: NDArray[np.int64]) -> tuple[float, float]:
    order = np.argsort(values, kind="stable")
    cumulated = np.cumsum(counts[order])
    ends = np.searchsorted(cumulated, np.array([LOW, HIGH]) / 100 * cumulated[-1], side="left")
    low, high = values[order][ends]
    return float(low), float(high)


def _nominal(d: Description, values: Table) -> tuple[float, float]:
    """The range that the modality transform can give: never the picture's own extremes."""
    if d.modality_lut is not None and not d.is_xrf:
        return 0.0, float((1 << d.modality_lut.bits) - 1)
    return float(values.min()), float(values.max())


def _polarity(d: Description) -> tuple[bool, str, tuple[str, ...]]:
    """PS3.3 C.7.6.3.1.2: MONOCHROME1 shows its lowest value white. Photometric Interpretation decides; Presentation LUT
    Shape INVERSE (C.11.6.1.2) beside MONOCHROME1 says the same once more, and beside MONOCHROME2 contradicts it."""
    inverted = d.photometric == "MONOCHROME1"
    expected = "INVERSE" if inverted else "IDENTITY"
    contradiction = (
        (f"Presentation LUT Shape {d.shape} contradicts {d.photometric}",) if d.shape not in {"", expected} else ()
    )
    return inverted, f"Photometric Interpretation {d.photometric}", contradiction
