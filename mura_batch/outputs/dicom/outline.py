"""The outline of an activation map's hottest region, in the pixels of the source image."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mura_batch.preprocess import InputSpec

HOT = 0.5  # of the map's maximum: the region is what is hotter, and connected with the maximum
_FINER = 8  # cells of the grid that the outline follows, for each cell of the map

Points = NDArray[np.float64]  # [N, 2] (column, row)


def hottest_outline(levels: NDArray[np.uint8]) -> Points | None:
    """levels: [h, w] positive class activation. Returns a closed outline in parts of the map's width and height, 0 to
    1; None for a map without activation."""
    if not levels.any():
        return None
    height, width = levels.shape[0] * _FINER, levels.shape[1] * _FINER
    fine = np.asarray(Image.fromarray(levels).resize((width, height), Image.Resampling.BICUBIC))
    hot = _connected(fine >= HOT * fine.max(), np.unravel_index(int(fine.argmax()), fine.shape))
    loop = np.array(_boundary(hot), np.float64)
    middles = (loop + np.roll(loop, -1, axis=0)) / 2  # of the steps along the cells' edges: a slope becomes a line
    corners = _without_straight(middles)
    closed: Points = np.concatenate([corners, corners[:1]]) / (width, height)
    return closed


def in_source_pixels(outline: Points, shape: tuple[int, int], spec: InputSpec, pixel_aspect: float) -> Points:
    """outline: in parts of the model input, which is what the model sees of the source. shape: rows and columns of the
    source. Returns (column, row) counted from 1 at the centre of the first pixel, inside the image (PS3.3
    C.10.5.1.2)."""
    rows, columns = spec.fitted(*shape, pixel_aspect)
    left, top, right, bottom = spec.seen(*shape, pixel_aspect)
    bars = (spec.size - columns) // 2, (spec.size - rows) // 2
    inside = (outline * spec.size - bars) / (columns, rows)
    placed = (left, top) + inside * (right - left, bottom - top) + 0.5
    clipped = np.clip(placed, 1.0, (float(shape[1]), float(shape[0])))
    return np.asarray(np.round(clipped, 1), np.float64)


def _connected(mask: NDArray[np.bool_], start: tuple[np.intp, ...]) -> NDArray[np.bool_]:
    """The cells of mask that hang together with start by their edges."""
    found = np.zeros_like(mask)
    queue = deque([(int(start[0]), int(start[1]))])
    found[queue[0]] = True
    while queue:
        row, column = queue.popleft()
        for r, c in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if 0 <= r < mask.shape[0] and 0 <= c < mask.shape[1] and mask[r, c] and not found[r, c]:
                found[r, c] = True
                queue.append((r, c))
    return found


def _boundary(region: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The longest loop of (column, row) corners along the region's edges, with the region on the right."""
    padded = np.pad(region, 1)
    steps: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for row, column in zip(*np.nonzero(padded), strict=True):
        r, c = int(row), int(column)
        for neighbour, start, end in (
            ((r - 1, c), (c - 1, r - 1), (c, r - 1)),
            ((r, c + 1), (c, r - 1), (c, r)),
            ((r + 1, c), (c, r), (c - 1, r)),
            ((r, c - 1), (c - 1, r), (c - 1, r - 1)),
        ):
            if not padded[neighbour]:
                steps.setdefault(start, []).append(end)
    return max(_loops(steps), key=len)


def _loops(steps: dict[tuple[int, int], list[tuple[int, int]]]) -> list[list[tuple[int, int]]]:
    loops = []
    while steps:
        at = start = next(iter(steps))
        loop = []
        while True:
            loop.append(at)
            ends = steps[at]
            following = ends.pop()
            if not ends:
                del steps[at]
            at = following
            if at == start:
                break
        loops.append(loop)
    return loops


def _without_straight(points: Points) -> Points:
    """Without the points on a straight line between their neighbours."""
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    turns = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    return points[np.abs(turns) > 1e-9]
