"""How a frame lies in its file (PS3.3 C.7.6.3): checked once, so that everything after may trust it."""

from __future__ import annotations

from dataclasses import dataclass

from mura_batch.dicom.header.tags import Tags
from mura_batch.dicom.refused import Refused
from mura_batch.records import Reason

_GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})


@dataclass(frozen=True, slots=True)
class Layout:
    """One greyscale frame of 8 or 16 bits allocated. high_bit: as the header says; where that contradicts Bits Stored,
    the data decide (dicom.pixels.stored_bits)."""

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    photometric: str

    @property
    def frame_bytes(self) -> int:
        return self.rows * self.columns * self.bits_allocated // 8


def read_layout(tags: Tags, max_pixels: int) -> Layout:
    """Raises Refused(BAD_PIXEL_DESCRIPTION) with every tag that is missing or impossible, or TOO_LARGE."""
    allocated, stored = tags.number("BitsAllocated"), tags.number("BitsStored")
    layout = Layout(
        rows=tags.number("Rows"),
        columns=tags.number("Columns"),
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=tags.number("HighBit", stored - 1),
        signed=tags.number("PixelRepresentation") == 1,
        photometric=tags.text("PhotometricInterpretation").upper().replace(" ", ""),
    )
    if wrong := _wrong(layout):
        raise Refused(Reason.BAD_PIXEL_DESCRIPTION, ", ".join(wrong))
    if layout.rows * layout.columns > max_pixels:
        raise Refused(Reason.TOO_LARGE, f"{layout.rows} x {layout.columns} pixels, more than {max_pixels}")
    return layout


def _wrong(layout: Layout) -> list[str]:
    right = (
        layout.rows > 0,
        layout.columns > 0,
        layout.bits_allocated in {8, 16},
        2 <= layout.bits_stored <= layout.bits_allocated,
        layout.photometric in _GREY,
    )
    if all(right):  # of nearly every file: no words are made for it
        return []
    named = (
        ("Rows (0028,0010)", layout.rows),
        ("Columns (0028,0011)", layout.columns),
        ("Bits Allocated (0028,0100)", layout.bits_allocated),
        ("Bits Stored (0028,0101)", layout.bits_stored),
        ("Photometric Interpretation (0028,0004)", layout.photometric[:20] or "missing"),
    )
    return [f"{name} is {value}" for (name, value), fits in zip(named, right, strict=True) if not fits]
