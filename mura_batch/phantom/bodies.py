"""The solid bodies that a phantom is made of, and the picture's grid, in millimetres.

Bodies stand in arm coordinates, millimetres: y runs down the arm (humerus negative, fingers positive, elbow at 0), x
towards the thumb, z towards the viewer of an antero-posterior picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Point = tuple[float, float, float]


class Matter(StrEnum):
    BONE = "bone"
    SOFT = "soft"
    METAL = "metal"
    AIR = "air"  # takes soft tissue away: lung
    HOLLOW = "hollow"  # takes bone away: the fossa above the elbow


@dataclass(frozen=True, slots=True)
class Fracture:
    """A break across a tube. at: fraction of its length. slant: mm along the axis for each mm across. gap, shift: mm by
    which the far part is moved along and across. angle: degrees by which it is turned. jag: mm of the line's teeth."""

    at: float
    slant: float = 0.3
    gap: float = 0.8
    shift: float = 0.0
    angle: float = 0.0
    jag: float = 0.8


@dataclass(frozen=True, slots=True)
class Tube:
    """A straight or bent body of elliptic cross-section. profile: rows (fraction of the length, half-width, half-depth,
    sideways offset), mm. cortex: (least, greatest) thickness of its wall, mm; the narrowest place has the greatest.
    caps: mm over which each end is rounded. hollows: mm of concavity of each end at its edge; negative is domed.
    tilts: mm along for each mm across. bend: mm that its middle stands aside. across: direction of its width.
    thread: pitch of a screw's thread, mm; 0 is smooth."""

    name: str
    start: Point
    end: Point
    profile: tuple[tuple[float, float, float, float], ...]
    matter: Matter = Matter.BONE
    cortex: tuple[float, float] = (0.6, 2.0)
    caps: tuple[float, float] = (3.0, 3.0)
    hollows: tuple[float, float] = (0.0, 0.0)
    tilts: tuple[float, float] = (0.0, 0.0)
    bend: float = 0.0
    across: Point = (1.0, 0.0, 0.0)
    thread: float = 0.0
    fracture: Fracture | None = None

    @property
    def whole(self) -> str:
        """The bone that it is a part of: 'humerus/head' and 'humerus/shaft' are one, without a wall between them."""
        return self.name.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Lump:
    """An ellipsoid with a wavy outline: carpal bones, heads, muscle. radii: mm along x, y, z before it is turned by
    `turn` degrees in the picture. waves: (cycles, amplitude as a fraction of the radius, phase in radians)."""

    name: str
    centre: Point
    radii: Point
    turn: float = 0.0
    waves: tuple[tuple[int, float, float], ...] = ()
    matter: Matter = Matter.BONE
    cortex: float = 0.7

    @property
    def whole(self) -> str:
        return self.name.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A thin bone spread out over a polygon (the blade of the scapula), thickness in mm."""

    name: str
    corners: tuple[Point, ...]
    thickness: float
    matter: Matter = Matter.BONE

    @property
    def whole(self) -> str:
        return self.name.partition("/")[0]


Body = Tube | Lump | Sheet


@dataclass(frozen=True, slots=True)
class Grid:
    """The picture's pixels in millimetres. left, top: of the first pixel's corner. spacing: mm a pixel."""

    rows: int
    columns: int
    left: float
    top: float
    spacing: float

    def window(self, left: float, top: float, right: float, bottom: float) -> tuple[slice, slice] | None:
        """The rows and columns that a box covers; None where it lies outside."""
        first_row, last_row = self._span(top - self.top, bottom - self.top, self.rows)
        first_column, last_column = self._span(left - self.left, right - self.left, self.columns)
        if first_row >= last_row or first_column >= last_column:
            return None
        return slice(first_row, last_row), slice(first_column, last_column)

    def _span(self, low: float, high: float, count: int) -> tuple[int, int]:
        return max(0, int(low / self.spacing)), min(count, int(high / self.spacing) + 2)

    def coordinates(self, window: tuple[slice, slice]) -> tuple[Floats, Floats]:
        """x [1, w] and y [h, 1] of the pixel centres in the window, mm."""
        rows, columns = window
        x = self.left + (np.arange(columns.start, columns.stop, dtype=np.float32) + 0.5) * self.spacing
        y = self.top + (np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5) * self.spacing
        return x[None, :].astype(np.float32), y[:, None].astype(np.float32)
