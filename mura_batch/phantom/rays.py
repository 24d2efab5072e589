"""How far each ray of a picture runs through a body: the geometry of a radiograph.

A bone is a hollow tube or ellipsoid. A ray near its edge runs a long way through the cortex, one through its middle
mostly through marrow: bright rims and a darker middle come from the geometry and are not painted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mura_batch.phantom.bodies import Body, Floats, Fracture, Grid, Lump, Matter, Point, Sheet, Tube

SAMPLES = 1024  # of a tube's profile along its axis: under 0.4 mm for the longest bone
TEXTURE = 512  # side of the tile of trabecular texture, a power of two because it is indexed by masking
TEXTURE_PITCH = 0.22  # mm a texel: trabeculae are 0.1 to 0.3 mm thick
ROUNDED_RIM = 0.12  # of the half-width: how far the corner of a bone's end is rounded


@dataclass(frozen=True, slots=True)
class Rays:
    """Ray lengths through one body, mm, inside a window of the picture: the whole of it and the marrow within."""

    window: tuple[slice, slice]
    outer: Floats
    marrow: Floats


def rays_through(body: Body, grid: Grid, texture: Floats) -> Rays | None:
    """body: in picture coordinates, z along the ray. texture: see _grain, [512, 512]. None outside the picture."""
    match body:
        case Tube():
            return _through_tube(body, grid, texture)
        case Lump():
            return _through_lump(body, grid, texture)
        case Sheet():
            return _through_sheet(body, grid)


@dataclass(frozen=True, slots=True)
class _Axis:
    """A tube as the picture sees it: where it starts, its direction, its length and the tables along it (all mm)."""

    x: float
    y: float
    direction: tuple[float, float]
    length: float
    tilt: float  # how much of the tube's own width lies in the picture, -1 to 1
    half_width: Floats
    depth: Floats
    marrow_width: Floats
    marrow_depth: Floats
    spongy: Floats
    offset: Floats


def _through_tube(tube: Tube, grid: Grid, texture: Floats) -> Rays | None:
    axis = _axis_of(tube)
    reach = float(axis.half_width.max()) + abs(tube.bend) + float(np.abs(axis.offset).max()) + 4
    if tube.fracture is not None:
        reach += axis.length * abs(np.sin(np.radians(tube.fracture.angle))) + abs(tube.fracture.shift)
    end_x, end_y = axis.x + axis.direction[0] * axis.length, axis.y + axis.direction[1] * axis.length
    left, right = min(axis.x, end_x) - reach, max(axis.x, end_x) + reach
    window = grid.window(left, min(axis.y, end_y) - reach, right, max(axis.y, end_y) + reach)
    if window is None:
        return None
    x, y = grid.coordinates(window)
    (along_x, along_y), x, y = axis.direction, x - axis.x, y - axis.y
    along, across = x * along_x + y * along_y, y * along_x - x * along_y
    soft = max(grid.spacing, 0.25)  # mm over which the edge of a fragment fades
    return Rays(window, *_broken_lengths(tube, axis, (along, across), texture, soft))


def _axis_of(tube: Tube) -> _Axis:
    start, end = np.array(tube.start), np.array(tube.end)
    span = end - start
    true_length = float(np.linalg.norm(span))
    length = max(float(np.hypot(span[0], span[1])), 1e-3)
    direction = (float(span[0]) / length, float(span[1]) / length)
    # The picture's own sideways direction, held against the tube's width and depth directions.
    sideways = np.array([-direction[1], direction[0], 0.0])
    width_axis = np.array(tube.across) - span * (np.dot(tube.across, span) / true_length**2)
    width_axis = width_axis / np.linalg.norm(width_axis)
    depth_axis = np.cross(span / true_length, width_axis)
    tilt, turn = float(width_axis @ sideways), float(depth_axis @ sideways)
    where, half_width, half_depth, offset = (
        np.array(column, dtype=np.float64) for column in zip(*tube.profile, strict=True)
    )
    t = np.linspace(0, 1, SAMPLES)
    a, b, aside = (_smooth(np.interp(t, where, values), true_length) for values in (half_width, half_depth, offset))
    if tube.thread:
        a = b = a * (1 + 0.16 * np.sin(t * true_length * (2 * np.pi / tube.thread)))
    wall = _wall(a, tube.cortex)
    outer_cap = _cap(t * true_length, true_length, tube.caps)
    plate = tube.cortex[0] * 1.3  # the bone under a joint surface is a little thicker than the wall beside it
    inner_cap = _cap(t * true_length - plate, true_length - 2 * plate, tube.caps)
    lengthening = true_length / max(length, 0.35 * true_length)  # a slanting tube's rays are longer
    width = np.hypot(a * tilt, b * turn)
    inner_a, inner_b = np.maximum(a - wall, 0.05), np.maximum(b - wall, 0.05)
    inner_width = np.hypot(inner_a * tilt, inner_b * turn)
    return _Axis(
        x=tube.start[0], y=tube.start[1], direction=direction, length=length, tilt=tilt,
        half_width=(width * outer_cap).astype(np.float32),
        depth=(2 * a * b / width * lengthening * outer_cap).astype(np.float32),
        marrow_width=(inner_width * inner_cap).astype(np.float32),
        marrow_depth=(2 * inner_a * inner_b / inner_width * lengthening * inner_cap).astype(np.float32),
        spongy=_spongy(a).astype(np.float32),
        offset=(aside * tilt + tube.bend * tilt * 4 * t * (1 - t)).astype(np.float32),
    )  # fmt: skip


def _smooth(values: NDArray[np.float64], length: float) -> NDArray[np.float64]:
    """Rounds the corners of a profile over about 12 mm, less on a short bone."""
    kernel = np.hanning(int(SAMPLES * min(max(12 / length, 1 / 30), 1 / 6)))
    padded = np.pad(values, len(kernel), mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), mode="same")[len(kernel) : -len(kernel)]


def _wall(half_width: NDArray[np.float64], cortex: tuple[float, float]) -> NDArray[np.float64]:
    """Cortex is thick round the narrow shaft and thin over the wide ends."""
    spread = np.ptp(half_width)
    narrow = (half_width.max() - half_width) / spread if spread > 0 else np.ones_like(half_width)
    return cortex[0] + (cortex[1] - cortex[0]) * narrow**1.5


def _spongy(half_width: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of the marrow space is trabeculae: all of it in the ends, little in the shaft."""
    spread = np.ptp(half_width)
    wide = (half_width - half_width.min()) / spread if spread > 0 else np.full_like(half_width, 0.6)
    return 0.12 + 0.88 * wide**0.8


def _cap(along: NDArray[np.float64], length: float, caps: tuple[float, float]) -> NDArray[np.float64]:
    """1 along the body, falling to 0 over each end as an ellipse does."""
    from_start = np.clip(along / max(caps[0], 0.1), 0, 1)
    from_end = np.clip((length - along) / max(caps[1], 0.1), 0, 1)
    return np.sqrt(1 - (1 - from_start) ** 2) * np.sqrt(1 - (1 - from_end) ** 2)


def _lengths(tube: Tube, axis: _Axis, place: tuple[Floats, Floats], texture: Floats) -> tuple[Floats, Floats]:
    """place: mm along and across the tube, [h, w] each. Returns the ray lengths (outer, marrow), mm."""
    along, across = place
    lateral = across * np.float32(axis.tilt)
    near, far = _bowl(lateral, tube.profile[0][1]), _bowl(lateral, tube.profile[-1][1])
    # A hollow end rises to its rim, and the rim itself is rounded off: the fourth power of the distance.
    rim = np.float32(ROUNDED_RIM if tube.matter is Matter.BONE else 0)
    first = tube.tilts[0] * lateral - tube.hollows[0] * near + rim * tube.profile[0][1] * near * near
    last = axis.length + tube.tilts[1] * lateral + tube.hollows[1] * far - rim * tube.profile[-1][1] * far * far
    fraction = (along - first) / np.maximum(last - first, np.float32(0.1))
    index = (fraction * (SAMPLES - 1)).astype(np.int32)
    inside = (index >= 0) & (index < SAMPLES)
    np.clip(index, 0, SAMPLES - 1, out=index)
    sideways = across - axis.offset[index]
    outer = axis.depth[index] * _chord(sideways, axis.half_width[index]) * inside
    marrow = axis.marrow_depth[index] * _chord(sideways, axis.marrow_width[index]) * inside
    grain = _grain(texture, along * np.float32(0.4), across)  # trabeculae run along the bone
    return outer, np.minimum(marrow * (1 - axis.spongy[index] * grain), outer)


def _bowl(lateral: Floats, half_width: float) -> Floats:
    """0 in the middle of an end, 1 at its edge."""
    return np.asarray(np.minimum(np.square(lateral * np.float32(1 / half_width)), np.float32(1.5)))


def _chord(sideways: Floats, half_width: Floats) -> Floats:
    """Length of a ray through a circle of radius 1, as a fraction of its diameter."""
    ratio = sideways / np.maximum(half_width, np.float32(1e-3))
    return np.asarray(np.sqrt(np.maximum(1 - ratio * ratio, 0)), dtype=np.float32)


def _grain(texture: Floats, along: Floats, across: Floats) -> Floats:
    """Share of the marrow space that trabeculae fill, 0 to about 0.5, at each pixel."""
    mask = TEXTURE - 1
    rows = (along * np.float32(1 / TEXTURE_PITCH)).astype(np.int32) & mask
    columns = (across * np.float32(1 / TEXTURE_PITCH)).astype(np.int32) & mask
    return np.asarray(texture[rows, columns], dtype=np.float32)


def _broken_lengths(
    tube: Tube, axis: _Axis, place: tuple[Floats, Floats], texture: Floats, soft: float
) -> tuple[Floats, Floats]:
    """The near part up to the line, and the far part beyond it, turned and moved; where they overlap both count."""
    break_ = tube.fracture
    if break_ is None:
        return _lengths(tube, axis, place, texture)
    along, across = place
    at = axis.length * break_.at
    near_outer, near_marrow = _lengths(tube, axis, place, texture)
    near = np.clip((_line(break_, at, across) - along) / soft, 0, 1)
    angle = np.radians(break_.angle * axis.tilt)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along, across = along - np.float32(at + break_.gap), across - np.float32(break_.shift)
    far_along = np.asarray(along * cos + across * sin + np.float32(at), dtype=np.float32)
    far_across = np.asarray(across * cos - along * sin, dtype=np.float32)
    far_outer, far_marrow = _lengths(tube, axis, (far_along, far_across), texture)
    far = np.clip((far_along - _line(break_, at, far_across)) / soft, 0, 1)
    return near_outer * near + far_outer * far, near_marrow * near + far_marrow * far


def _line(break_: Fracture, at: float, across: Floats) -> Floats:
    """Where the break runs, mm along the axis, for each place across: slanting, with teeth of three lengths."""
    teeth = np.sin(across * 0.9 + 1) + 0.6 * np.sin(across * 2.3) + 0.4 * np.sin(across * 4.7 + 2)
    return np.asarray(at + break_.slant * across + break_.jag * 0.5 * teeth, dtype=np.float32)


def _through_lump(lump: Lump, grid: Grid, texture: Floats) -> Rays | None:
    reach = max(lump.radii[0], lump.radii[1]) * (1 + sum(abs(amplitude) for _, amplitude, _ in lump.waves))
    cx, cy, _ = lump.centre
    window = grid.window(cx - reach, cy - reach, cx + reach, cy + reach)
    if window is None:
        return None
    x, y = grid.coordinates(window)
    x, y = x - cx, y - cy
    cos, sin = np.float32(np.cos(np.radians(lump.turn))), np.float32(np.sin(np.radians(lump.turn)))
    x, y = x * cos + y * sin, y * cos - x * sin
    outline = _outline(lump, x, y)
    outer = _ellipsoid(x / outline, y / outline, lump.radii)
    wall = lump.cortex
    rx, ry, rz = (max(radius - wall, 0.1) for radius in lump.radii)
    marrow = _ellipsoid(x / outline, y / outline, (rx, ry, rz)) * (1 - (0.08 + 0.6 * _grain(texture, y, x)))
    return Rays(window, outer, np.minimum(marrow, outer))


def _outline(lump: Lump, x: Floats, y: Floats) -> Floats:
    outline = np.ones(np.broadcast_shapes(x.shape, y.shape), dtype=np.float32)
    if lump.waves:
        angle = np.arctan2(y / lump.radii[1], x / lump.radii[0])
        for cycles, amplitude, phase in lump.waves:
            outline += amplitude * np.cos(cycles * angle + phase)
    return outline


def _ellipsoid(x: Floats, y: Floats, radii: Point) -> Floats:
    rx, ry, rz = radii
    return (2 * rz * np.sqrt(np.maximum(1 - (x / rx) ** 2 - (y / ry) ** 2, 0))).astype(np.float32)


def _through_sheet(sheet: Sheet, grid: Grid) -> Rays | None:
    xs, ys, _ = zip(*sheet.corners, strict=True)
    window = grid.window(min(xs), min(ys), max(xs), max(ys))
    if window is None:
        return None
    x, y = grid.coordinates(window)
    outer = (_inside(x, y, xs, ys) * np.float32(sheet.thickness)).astype(np.float32)
    return Rays(window, outer, outer * np.float32(0.4))


def _inside(x: Floats, y: Floats, xs: tuple[float, ...], ys: tuple[float, ...]) -> NDArray[np.bool_]:
    """Even-odd rule: a point is inside where a ray to the left crosses the outline an odd number of times."""
    inside = np.zeros(np.broadcast_shapes(x.shape, y.shape), dtype=bool)
    for x0, y0, x1, y1 in zip(xs, ys, xs[1:] + xs[:1], ys[1:] + ys[:1], strict=True):
        if y0 != y1:
            crosses = (y0 > y) != (y1 > y)
            inside ^= crosses & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return inside


def trabeculae(rng: np.random.Generator) -> Floats:
    """A tile [512, 512] that repeats without a seam: share of the marrow space that is bone, 0 to 0.5, mean 0.2."""
    noise = np.fft.rfft2(rng.standard_normal((TEXTURE, TEXTURE), dtype=np.float32))
    fy, fx = np.fft.fftfreq(TEXTURE)[:, None], np.fft.rfftfreq(TEXTURE)[None, :]
    frequency = np.hypot(fx, fy)
    band = np.exp(-((frequency / 0.2) ** 2)) * (frequency / (frequency + 0.01)) * (frequency + 0.02) ** -0.5
    grain = np.fft.irfft2(noise * band, s=(TEXTURE, TEXTURE))
    grain = grain / grain.std()
    return np.asarray(np.clip(0.2 + 0.055 * grain, 0, 0.5), dtype=np.float32)
