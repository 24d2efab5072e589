"""Modality values -> brightness (PS3.3 C.11.2): window, VOI LUT, full range or percentiles, by the first rule that
shows the picture. docs/intake.md has the rules in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mura_batch.dicom.pixels.description import Description, Lut
from mura_batch.dicom.refused import Refused
from mura_batch.records import Reason

Table = NDArray[np.float64]  # one value for each stored bit pattern: [2 ** bits_stored]
Counts = NDArray[np.int64]  # how often each bit pattern occurs in the exposed part of the picture

LOW, HIGH = 0.5, 99.5  # percentiles: a marker of lead or a hot pixel does not decide the window
# What a window or LUT has to show of the values between these percentiles, or it shows too little. The narrowest of 608
# FracAtlas pictures in full range spans 0.34 of the brightness.
MIN_SPAN = 0.25  # of the brightness, between the darkest and the brightest of them
MIN_LEVELS = 32  # grey levels, or all that there are
MIN_COVER = 0.1  # of their range that is neither black nor white
USED_SHARE = 0.5  # without a window, a picture that uses less of its nominal range than this gets percentiles
DISPLAY_BITS = 8  # values of so few bits are grey levels already: without a window they are shown as they are
MAX_WINDOWS = 8  # that are tried
_NEAR = 0.01  # of its width: how far a window may be from the full range of some number of bits


@dataclass(frozen=True, slots=True)
class Voi:
    """shown: brightness, 0 to 1. name: as PixelDecisions.voi. center, width: of a window or of the percentiles."""

    shown: Table
    name: str
    center: float | None = None
    width: float | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Picture:
    """values: behind the modality transform. low, high: its 0.5 and 99.5 percentiles."""

    values: Table
    counts: Counts
    low: float
    high: float


def apply_voi(d: Description, values: Table, counts: Counts, voi: str) -> Voi:
    """values: behind the modality transform. voi: 'auto', 'window', 'lut' or 'percentiles'. Raises
    Refused(BLANK_IMAGE)."""
    picture, flags = _Picture(values, counts, *_percentiles(values, counts)), list[str]()
    if voi in {"auto", "window"}:
        for center, width in _windows(d, values, flags):
            shown = window(values, center, width, d.function)
            if _shows_enough(shown, picture):
                return Voi(shown, f"window {d.function.lower()}", center, width, tuple(flags))
            flags.append(f"window {center:g}/{width:g} shows nothing")
    if voi in {"auto", "lut"} and d.voi_lut is not None:
        shown = through(d.voi_lut, values) / white_level(d.voi_lut, flags)
        if _shows_enough(shown, picture):
            return Voi(shown, "voi lut", flags=tuple(flags))
        flags.append("the VOI LUT shows nothing")
    return _without_voi(d, picture, voi, flags)


def window(values: Table, center: float, width: float, function: str) -> Table:
    """PS3.3 C.11.2.1.2.1 LINEAR, C.11.2.1.3.2 LINEAR_EXACT, C.11.2.1.3.1 SIGMOID; 0 to 1."""
    if function == "SIGMOID":
        return np.asarray(1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - center) / width, -700, 700))))
    if function == "LINEAR_EXACT":
        return np.clip((values - center) / width + 0.5, 0, 1)
    if width == 1:
        return (values > center - 0.5).astype(np.float64)
    return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def through(lut: Lut, values: Table) -> Table:
    """PS3.3 C.11.1.1: values below the first mapped get the first entry, those above the last get the last."""
    entries = np.asarray(lut.entries, dtype=np.float64)
    index = np.clip(np.rint(values) - lut.first, 0, len(entries) - 1).astype(np.intp)
    taken: Table = entries[index]
    return taken


def nominal_range(d: Description, values: Table) -> tuple[float, float]:
    """What the modality transform can give: never the picture's own extremes."""
    if d.modality_lut is not None and not d.is_xrf:
        return 0.0, float((1 << d.modality_lut.bits) - 1)
    return float(values.min()), float(values.max())


def _windows(d: Description, values: Table, flags: list[str]) -> Iterator[tuple[float, float]]:
    """Those of a width that the function allows (C.11.2.1.2.1: LINEAR at least 1, the others more than 0). The first is
    the device's default; a later one serves another purpose, and is for where the first shows nothing."""
    if d.function not in {"LINEAR", "LINEAR_EXACT", "SIGMOID"}:
        flags.append(f"VOI LUT Function {d.function[:16]!r} is not known")
        return
    smallest = 1.0 if d.function == "LINEAR" else 1e-9
    usable = [(center, width) for center, width in d.windows if width >= smallest]
    for given in usable[:MAX_WINDOWS]:
        yield _scaled(given, nominal_range(d, values), flags)
    if d.windows and not usable:
        flags.append("window width is not usable")


def _scaled(given: tuple[float, float], nominal: tuple[float, float], flags: list[str]) -> tuple[float, float]:
    """A window over the full range of more bits than the values can have (0 to 65535 over 12 bits stored) was written
    for values of so many bits: it is divided by the same power of two."""
    (center, width), (bottom, top) = given, nominal
    factor = 2.0 ** round(np.log2(max(width / (top + 1 - bottom), 1.0)))
    full = factor * (top + 1 - bottom)
    if factor < 2 or abs(width - full) > _NEAR * full or abs(center - width / 2 - factor * bottom) > _NEAR * full:
        return given
    flags.append(f"window {center:g}/{width:g} is {factor:g} times the range of the values: scaled to it")
    return center / factor, width / factor


def _shows_enough(shown: Table, picture: _Picture) -> bool:
    """Judged by the values between the 0.5 and 99.5 percentiles: a black background or a white collimator says nothing
    about what is shown of the rest."""
    values, low, high = picture.values, picture.low, picture.high
    inside = (picture.counts > 0) & (values >= low) & (values <= high)
    brightness, values = shown[inside], values[inside]
    if brightness.max() - brightness.min() < MIN_SPAN:
        return False
    if len(values) <= 2:  # a picture of two values is shown by any window that tells them apart
        return True
    grey = np.rint(np.clip(brightness, 0, 1) * 255).astype(np.uint8)
    levels = np.count_nonzero(np.bincount(grey, minlength=256))
    between = values[(grey > 0) & (grey < 255)]
    cover = between.max() - between.min() if between.size else 0.0
    return bool(levels >= min(MIN_LEVELS, len(values)) and cover >= MIN_COVER * (high - low))


def white_level(lut: Lut, flags: list[str]) -> float:
    """The output that is white: 2 ** bits - 1 (C.11.2.1.1). Devices write tables of 12 bits and say 16, which would be
    black, or say 8 and write more: then the bits that the largest entry needs."""
    needed = max(lut.entries).bit_length()
    if lut.bits - 2 <= needed <= lut.bits:
        return float((1 << lut.bits) - 1)
    flags.append(f"the VOI LUT says {lut.bits} bits and uses {needed}")
    return float((1 << max(needed, 1)) - 1)


def _without_voi(d: Description, picture: _Picture, voi: str, flags: list[str]) -> Voi:
    """No VOI transform means the identity (C.11.2.1): the full range, where the values are grey levels or the picture
    fills its range; else percentiles."""
    values, counts, low, high = picture.values, picture.counts, picture.low, picture.high
    bottom, top = nominal_range(d, values)
    fills = d.bits_stored <= DISPLAY_BITS or (not flags and high - low >= USED_SHARE * (top - bottom))
    if voi == "auto" and fills:
        return Voi(np.clip((values - bottom) / (top - bottom), 0, 1), "full range", flags=tuple(flags))
    if high <= low:
        low, high = float(values[counts > 0].min()), float(values[counts > 0].max())
    if high <= low:
        raise Refused(Reason.BLANK_IMAGE, "every pixel has the same value after the modality transform")
    if voi in {"auto", "percentiles"} or flags:
        flags = [*flags, "window taken from percentiles"]
    else:
        flags = [f"no {voi} in the file: window taken from percentiles"]
    return Voi(np.clip((values - low) / (high - low), 0, 1), "percentiles", (low + high) / 2, high - low, tuple(flags))


def _percentiles(values: Table, counts: Counts) -> tuple[float, float]:
    ordered = bool(np.all(values[1:] >= values[:-1]))  # of nearly every picture
    order = slice(None) if ordered else np.argsort(values, kind="stable")
    cumulated = np.cumsum(counts[order])
    ends = np.searchsorted(cumulated, np.array([LOW, HIGH]) / 100 * cumulated[-1], side="left")
    low, high = values[order][ends]
    return float(low), float(high)
