"""Stored values -> display image, by DICOM PS3.3: one lookup table composed of the modality transform, the VOI
transform and the polarity, in float64, and one `take`.

    stored bits -> modality LUT or rescale (C.11.1) -> window or VOI LUT (C.11.2) -> inversion (C.7.6.3.1.2) -> 0..255
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mura_batch.dicom.pixels.description import Description
from mura_batch.dicom.pixels.padding import padding_mask, stored_values
from mura_batch.dicom.pixels.voi import Counts, Table, apply_voi, through
from mura_batch.dicom.refused import Refused
from mura_batch.records import Reason

PIECE = 1 << 17  # pixels looked up at once: a MB of indices


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


def display_table(d: Description, histogram: Counts, voi: str) -> tuple[Table, Rendering]:
    """The table from stored bit pattern to brightness, 0 to 1, bone bright as the device meant it.

    histogram: [2 ** bits_stored] how often each bit pattern occurs in the part of the picture that was exposed, or in
    an even sample of it.
    voi: 'auto', 'window', 'lut' or 'percentiles'. Raises Refused(BLANK_IMAGE) on a picture of one value.
    """
    stored = stored_values(d)
    padded = padding_mask(d, stored)
    counts = np.where(padded, 0, histogram)
    if np.count_nonzero(counts) <= 1:
        raise Refused(Reason.BLANK_IMAGE, "the pixels that are no padding have one value")
    values, transform, flags = _modality(d, stored)
    chosen = apply_voi(d, values, counts, voi)
    inverted, why, contradiction = _polarity(d)
    shown = 1.0 - chosen.shown if inverted else chosen.shown
    shown = np.where(padded, 0.0, shown)  # padding is no picture: black, like the letterbox
    return shown, Rendering(
        modality_transform=transform,
        voi=chosen.name,
        center=chosen.center,
        width=chosen.width,
        polarity="inverted" if inverted else "as stored",
        polarity_reason=why,
        flags=(*flags, *chosen.flags, *contradiction),
    )


def grey_levels(shown: Table) -> NDArray[np.uint8]:
    """Brightness as the 8 bits of a display image."""
    return np.rint(shown * 255.0).astype(np.uint8)


def apply_table(table: NDArray[np.uint8], patterns: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.uint8]:
    """[H, W] grey levels of [H, W] bit patterns. Piece by piece: numpy makes indices of 8 bytes of the patterns, which
    would be 40 MB of a picture of 5 million pixels and stays in the processor's cache for a few rows."""
    shown = np.empty(patterns.shape, np.uint8)
    rows = max(1, PIECE // max(1, patterns.shape[1]))
    for top in range(0, patterns.shape[0], rows):
        # every pattern is in the table: clip spares the check, and with it another copy
        np.take(table, patterns[top : top + rows], out=shown[top : top + rows], mode="clip")
    return shown


def _modality(d: Description, stored: Table) -> tuple[Table, str, tuple[str, ...]]:
    """PS3.3 C.11.1.1.1 (LUT) and C.11.1.1.2 (rescale). An X-Ray Fluoroscopy or Angiography image carries a LUT that
    undoes the detector's logarithm and is not to be displayed through (C.8.7.1.1.2)."""
    if d.modality_lut is not None and d.is_xrf:
        return stored, "ignored: the modality LUT of an XA/RF image is not for display", ()
    if d.modality_lut is None and (d.slope, d.intercept) == (1, 0):
        return stored, "none", ()
    values = through(d.modality_lut, stored) if d.modality_lut is not None else stored * d.slope + d.intercept
    if values.max() - values.min() < 1e-9 * max(1.0, abs(float(values.max()))):  # slope 0, or as good as
        return stored, "none", ("the modality transform makes all values the same: not applied",)
    return values, "lut" if d.modality_lut is not None else "rescale", ()


def _polarity(d: Description) -> tuple[bool, str, tuple[str, ...]]:
    """PS3.3 C.7.6.3.1.2: MONOCHROME1 shows its lowest value white. Photometric Interpretation decides; Presentation LUT
    Shape INVERSE (C.11.6.1.2) beside MONOCHROME1 says the same once more, and beside MONOCHROME2 contradicts it."""
    inverted = d.photometric == "MONOCHROME1"
    expected = "INVERSE" if inverted else "IDENTITY"
    contradiction = (
        (f"Presentation LUT Shape {d.shape} contradicts {d.photometric}",) if d.shape not in {"", expected} else ()
    )
    return inverted, f"Photometric Interpretation {d.photometric}", contradiction
