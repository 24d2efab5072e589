"""The outline of the hottest region."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from mura_batch.outputs.dicom.outline import hottest_outline, in_source_pixels
from mura_batch.preprocess import InputSpec


def _map(*cells: tuple[int, int, int]) -> np.ndarray:
    levels = np.zeros((10, 10), np.uint8)
    for row, column, level in cells:
        levels[row, column] = level
    return levels


def _area(points: np.ndarray) -> float:
    x, y = points[:, 0], points[:, 1]
    return abs(float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))) / 2


def test_the_outline_encloses_the_hottest_cell_alone() -> None:
    outline = hottest_outline(_map((2, 7, 255), (8, 1, 250)))
    assert outline is not None
    centre = outline[:-1].mean(axis=0)
    assert centre == pytest.approx((0.75, 0.25), abs=0.02)
    assert 0.004 < _area(outline) < 0.03  # a cell is 0.01 of the map


def test_a_map_without_activation_has_no_outline() -> None:
    assert hottest_outline(np.zeros((10, 10), np.uint8)) is None


@given(arrays(np.uint8, (7, 9)))
def test_every_outline_is_closed_and_inside(levels: np.ndarray) -> None:
    outline = hottest_outline(levels)
    if outline is None:
        assert not levels.any()
        return
    assert (outline[0] == outline[-1]).all()
    assert len(outline) >= 4
    assert _area(outline) > 0
    assert outline.min() >= 0
    assert outline.max() <= 1
    placed = in_source_pixels(outline, (2000, 1000), InputSpec(320), 1.0)
    assert placed.min() >= 1
    assert placed[:, 0].max() <= 1000
    assert placed[:, 1].max() <= 2000


def test_letterbox_bars_are_taken_off() -> None:
    """A source of 400 x 200 fills columns 80 to 240 of 320: its centre is the map's centre, its corner is at 0.25."""
    points = np.array([[0.5, 0.5], [0.25, 0.0], [0.75, 1.0]])
    placed = in_source_pixels(points, (400, 200), InputSpec(320), 1.0)
    assert placed.tolist() == [[100.5, 200.5], [1.0, 1.0], [200.0, 400.0]]


def test_a_stretched_source_fills_the_map() -> None:
    points = np.array([[0.5, 0.5], [0.0, 0.0], [0.75, 1.0]])
    placed = in_source_pixels(points, (400, 200), InputSpec(320, resize="stretch"), 1.0)
    assert placed.tolist() == [[100.5, 200.5], [1.0, 1.0], [150.5, 400.0]]


def test_beside_a_centre_square_nothing_is_outlined() -> None:
    """Of 403 rows the middle 200 are seen: from 101.5 on."""
    points = np.array([[0.5, 0.5], [0.0, 0.0], [1.0, 1.0]])
    placed = in_source_pixels(points, (403, 200), InputSpec(320, resize="crop"), 1.0)
    assert placed.tolist() == [[100.5, 202.0], [1.0, 102.0], [200.0, 302.0]]


@pytest.mark.parametrize("aspect", [1 / 3, 0.7, 1.1, 3.0])
def test_a_centre_square_lies_inside_the_picture(aspect: float) -> None:
    for rows in range(100, 160):
        left, top, right, bottom = InputSpec(320, resize="crop").seen(rows, 100, aspect)
        assert min(left, top) >= 0
        assert (right, bottom) <= (100, rows)
        assert right - left == pytest.approx((bottom - top) * aspect)


def test_pixels_that_are_not_square_are_allowed_for() -> None:
    """Pixels twice as high as wide: 100 x 200 pixels are a square."""
    placed = in_source_pixels(np.array([[0.5, 0.5], [0.9, 0.9]]), (100, 200), InputSpec(320), 2.0)
    assert placed.tolist() == [[100.5, 50.5], [180.5, 90.5]]
