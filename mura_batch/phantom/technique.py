"""How a machine stores a picture: transfer syntax, bits, polarity, rescale and what it says of the display."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mura_batch.dicom.write.radiograph import VoiTable, Window
from mura_batch.phantom.bodies import Floats

# The picture's black and white lie at these shares of the stored range, so that a reader who leaves out the window sees
# a flat picture and one who applies it sees a good one.
LOW, HIGH = 0.06, 0.86
TABLE_BITS = 16  # entries of a VOI LUT: 8 or 16 (PS3.3 C.11.2.1.1)


@dataclass(frozen=True, slots=True)
class Technique:
    """voi: linear, linear exact, sigmoid, two windows, table, table and window, or none."""

    sop_class: str
    syntax: str
    bits_stored: int = 12
    photometric: str = "MONOCHROME2"
    voi: str = "linear"
    slope: float = 1.0
    intercept: float = 0.0

    @property
    def greatest(self) -> int:
        return (1 << self.bits_stored) - 1

    @property
    def inverse(self) -> bool:
        return self.photometric == "MONOCHROME1"


def stored_values(picture: Floats, technique: Technique) -> NDArray[np.uint16]:
    """picture: [rows, columns] 0 to 1, bone bright. MONOCHROME1 stores the same picture upside down."""
    scaled = (picture * np.float32(HIGH - LOW) + np.float32(LOW)) * np.float32(technique.greatest)
    values = (scaled + np.float32(0.5)).astype(np.uint16)
    return np.asarray(technique.greatest - values if technique.inverse else values, dtype=np.uint16)


def voi_of(technique: Technique) -> tuple[tuple[Window, ...], VoiTable | None]:
    """The windows and the table that show stored_values' picture with black at 0 and white at 1."""
    table = _table(technique) if "table" in technique.voi else None
    match technique.voi:
        case "none" | "table":
            return (), table
        case "linear" | "table and window":
            return (_window(technique, LOW, HIGH, "LINEAR", "NORMAL"),), table
        case "linear exact":
            return (_window(technique, LOW, HIGH, "LINEAR_EXACT", "NORMAL"),), None
        case "sigmoid":
            return (_window(technique, LOW, HIGH, "SIGMOID", "NORMAL"),), None
        case "two windows":
            bone = _window(technique, 0.3, HIGH, "LINEAR", "BONE")
            return (_window(technique, LOW, HIGH, "LINEAR", "NORMAL"), bone), None
    raise ValueError(f"no VOI is called {technique.voi!r}")


def _window(technique: Technique, low: float, high: float, function: str, explanation: str) -> Window:
    """low, high: shares of the stored range that become black and white. In the values behind the rescale."""
    first, last = low * technique.greatest, high * technique.greatest
    if technique.inverse:
        first, last = technique.greatest - last, technique.greatest - first
    first, last = (value * technique.slope + technique.intercept for value in (first, last))
    if function == "LINEAR":  # PS3.3 C.11.2.1.2.1: black up to c - 0.5 - (w-1)/2, white above c - 0.5 + (w-1)/2
        return Window(round((first + last) / 2 + 0.5, 2), round(last - first + 1, 2), function, explanation)
    return Window(round((first + last) / 2, 2), round(last - first, 2), function, explanation)


def _table(technique: Technique) -> VoiTable:
    """Part of an S-curve over the picture's range, as film had one: an entry for each value that can be stored."""
    stored = np.arange(technique.greatest + 1)
    share = (technique.greatest - stored if technique.inverse else stored) / technique.greatest
    place = np.clip((share - LOW) / (HIGH - LOW), 0, 1)
    curve = 0.5 - 0.5 * np.cos(np.pi * (0.35 * place**1.5 + 0.65 * place))
    top = (1 << TABLE_BITS) - 1
    entries = np.rint((1 - curve if technique.inverse else curve) * top).astype(int)
    return VoiTable(first=0, bits=TABLE_BITS, values=tuple(entries.tolist()))
