"""Header values -> what the display pipeline needs: tables, windows, padding and the shape of a pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mura_batch.dicom.header.layout import Layout
from mura_batch.dicom.header.tags import Tags


@dataclass(frozen=True, slots=True)
class Lut:
    """A lookup table of PS3.3 C.11.1.1: first stored value mapped, bits of an entry, and the entries."""

    first: int
    bits: int
    entries: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Description:
    """What a header says of its pixel values. padding: lowest and highest stored value that is no picture."""

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


def describe(tags: Tags, layout: Layout) -> Description:
    """Values that are missing or damaged take their neutral value, and `flags` says so."""
    slope, intercept = tags.numbers("RescaleSlope"), tags.numbers("RescaleIntercept")
    centers, widths = tags.numbers("WindowCenter"), tags.numbers("WindowWidth")
    flags: list[str] = []
    modality = _lut(tags, "ModalityLUTSequence", layout.signed, flags)
    below_zero = modality is None and _reaches_below_zero(layout, (slope or (1.0,))[0], (intercept or (0.0,))[0])
    if len(centers) != len(widths):
        flags.append(f"{len(centers)} window centers and {len(widths)} widths")
    return Description(
        bits_stored=layout.bits_stored,
        signed=layout.signed,
        photometric=layout.photometric,
        slope=slope[0] if slope else 1.0,
        intercept=intercept[0] if intercept else 0.0,
        modality_lut=modality,
        voi_lut=_lut(tags, "VOILUTSequence", below_zero, flags),
        windows=tuple(zip(centers, widths, strict=False)),
        function=tags.text("VOILUTFunction").upper() or "LINEAR",
        padding=_padding(tags, layout),
        shape=tags.text("PresentationLUTShape").upper(),
        is_xrf=tags.text("Modality") in {"XA", "RF"},
        flags=tuple(flags),
    )


def _reaches_below_zero(layout: Layout, slope: float, intercept: float) -> bool:
    """Whether the modality transform gives signed values: then a VOI LUT's first mapped value is signed (PS3.3
    C.11.2.1.1)."""
    lowest = -(1 << layout.bits_stored - 1) if layout.signed else 0
    highest = lowest + (1 << layout.bits_stored) - 1
    return min(lowest * slope, highest * slope) + intercept < 0


def pixel_aspect(tags: Tags) -> float:
    """Height of a pixel over its width: Pixel Aspect Ratio (0028,0034), else the spacing's (PS3.3 10.7.1.1 and
    C.7.6.3.1.7: both give the vertical value first)."""
    for keyword in ("PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        pair = tags.numbers(keyword)
        if len(pair) == 2 and min(pair) > 0 and 0.1 <= pair[0] / pair[1] <= 10:
            return pair[0] / pair[1]
    return 1.0


def _padding(tags: Tags, layout: Layout) -> tuple[int, int] | None:
    """PS3.3 C.7.5.1.1.2, in stored values: written as US by many who mean SS, so the bits are read as the pixels'
    are."""
    value, limit = tags.numbers("PixelPaddingValue"), tags.numbers("PixelPaddingRangeLimit")
    if not value:
        return None
    ends = sorted(_as_stored(int(x), layout) for x in (value[0], (limit or value)[0]))
    return ends[0], ends[1]


def _as_stored(value: int, layout: Layout) -> int:
    span = 1 << layout.bits_allocated
    value %= span
    return value - span if layout.signed and value >= span // 2 else value


def _lut(tags: Tags, sequence: str, signed: bool, flags: list[str]) -> Lut | None:
    """The first item's table (PS3.3 C.11.1.1). Its first mapped value is signed where its input is, whatever the VR
    says."""
    item = next(iter(tags.items(sequence)), None)
    if item is None:
        return None
    descriptor = [int(x) for x in item.numbers("LUTDescriptor")]
    raw = item.raw("LUTData")
    if len(descriptor) == 3 and 1 <= descriptor[2] <= 16:
        count, first, bits = descriptor[0] & 0xFFFF or 65536, descriptor[1] & 0xFFFF, descriptor[2]
        if (entries := _entries(raw, count, bits, item.big)) is not None:
            return Lut(first - 0x10000 if signed and first >= 0x8000 else first, bits, entries)
    flags.append(f"{sequence} is damaged")
    return None


def _entries(raw: bytes, count: int, bits: int, big: bool) -> tuple[int, ...] | None:
    """OW or US words; entries of 8 bits may be packed, two in a word (PS3.3 C.11.1.1.1)."""
    packed = bits <= 8 and len(raw) in {count, count + 1}
    kind = "u1" if packed else ">u2" if big else "<u2"
    values = np.frombuffer(raw[: len(raw) // 2 * 2] if not packed else raw, kind)
    return tuple(values[:count].tolist()) if len(values) >= count else None
