"""Turns bodies in space: poses (a bent elbow) and views (antero-posterior, lateral, oblique)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mura_batch.phantom.bodies import Body, Lump, Point, Sheet, Tube

Matrix = NDArray[np.float64]  # [3, 3], a rotation


def about_x(degrees: float) -> Matrix:
    cos, sin = _cos_sin(degrees)
    return np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])


def about_y(degrees: float) -> Matrix:
    """Turns about the arm's long axis: 0 is antero-posterior, 90 lateral."""
    cos, sin = _cos_sin(degrees)
    return np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])


def about_z(degrees: float) -> Matrix:
    """Turns within the picture."""
    cos, sin = _cos_sin(degrees)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def _cos_sin(degrees: float) -> tuple[float, float]:
    return float(np.cos(np.radians(degrees))), float(np.sin(np.radians(degrees)))


def turned(body: Body, matrix: Matrix, pivot: Point = (0.0, 0.0, 0.0)) -> Body:
    """The body rotated about a point, mm."""
    match body:
        case Tube():
            return replace(
                body,
                start=_moved(body.start, matrix, pivot),
                end=_moved(body.end, matrix, pivot),
                across=_point(matrix @ np.array(body.across)),
            )
        case Lump():
            return _turned_lump(body, matrix, pivot)
        case Sheet():
            leaning = max(abs(float(matrix[2, 2])), 0.2)  # seen on edge, a ray runs a long way through it
            corners = tuple(_moved(corner, matrix, pivot) for corner in body.corners)
            return replace(body, corners=corners, thickness=body.thickness / leaning)


def _moved(point: Point, matrix: Matrix, pivot: Point) -> Point:
    return _point(matrix @ (np.array(point) - pivot) + pivot)


def _point(values: NDArray[np.float64]) -> Point:
    return (float(values[0]), float(values[1]), float(values[2]))


def _turned_lump(lump: Lump, matrix: Matrix, pivot: Point) -> Lump:
    """The shadow of a turned ellipsoid is the ellipse of its shape matrix's upper left corner."""
    axes = matrix @ about_z(lump.turn)
    shape = axes @ np.diag(np.square(lump.radii)) @ axes.T
    squares, vectors = np.linalg.eigh(shape[:2, :2])
    first = int(
        np.argmax(np.abs(vectors.T @ axes[:2, 0]))
    )  # the axis that was x stays x, so the outline keeps its waves
    x_axis = vectors[:, first] * (1 if vectors[:, first] @ axes[:2, 0] >= 0 else -1)
    depth = 1 / np.sqrt(np.linalg.inv(shape)[2, 2])
    return replace(
        lump,
        centre=_moved(lump.centre, matrix, pivot),
        radii=(float(np.sqrt(squares[first])), float(np.sqrt(squares[1 - first])), float(depth)),
        turn=float(np.degrees(np.arctan2(x_axis[1], x_axis[0]))),
    )
