"""Pictures of bones that look like radiographs, drawn from nothing: numpy, and Pillow for enlarging.

A picture follows the physics in outline: ray lengths through soft tissue, bone and metal (bodies.py) times
attenuation, blur, the processing of a digital system, collimation, a lead side marker, noise. No real picture went
into them, so they may be given to anybody; a score on them says nothing about a model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mura_batch.phantom import skeleton
from mura_batch.phantom.bodies import Body, Floats, Grid, Lump, Matter, Tube
from mura_batch.phantom.film import blurred, collimation, lowpass, marked, noisy, oriented, processed, resized
from mura_batch.phantom.injuries import Injury, injured
from mura_batch.phantom.placing import about_x, about_y, about_z, turned
from mura_batch.phantom.rays import Rays, rays_through, trabeculae
from mura_batch.records import Laterality, Region

# Attenuation for 1 mm at about 60 kV (NIST XCOM, rounded), bone and metal over the tissue that they displace.
SOFT_MU = 0.021
BONE_MU = 0.046
METAL_MU = 0.35
FLESH_UNIT = 64.0  # mm; keeps the eighth power of a path inside float32
LUNG_SHARE = 0.75  # of the soft tissue's path that a lung's air takes away
FULL_GRID_DIVISOR = 2  # a full-size picture is drawn at half its size: bones have no finer edge than the blur


@dataclass(frozen=True, slots=True)
class View:
    """name: AP, PA, LAT or OBL. turn: degrees about the arm's axis. flexion: of the elbow. fan: of the fingers."""

    name: str
    turn: float = 0.0
    flexion: float = 0.0
    fan: float = 0.0


@dataclass(frozen=True, slots=True)
class Setup:
    """How a region is taken: the middle and the size (height, width) of the field in mm, and its usual views."""

    bodies: Callable[[View], tuple[Body, ...]]
    centre: tuple[float, float]
    field: tuple[float, float]
    views: tuple[View, ...]
    fingers_up: bool = False


@dataclass(frozen=True, slots=True)
class Person:
    """seed: of this body's own shapes. size, density, flesh: factors about 1."""

    seed: int
    size: float
    density: float
    flesh: float


@dataclass(frozen=True, slots=True)
class Exposure:
    """One picture to take. region None is a chest. rows, columns: of the picture. seed: of its noise and placing."""

    region: Region | None
    view: View
    person: Person
    side: Laterality
    injury: Injury
    rows: int
    columns: int
    seed: int


def _lower_arm(fan: float = 0.0) -> tuple[Body, ...]:
    bones = (*skeleton.forearm(), *skeleton.carpus(), *skeleton.digits(fan))
    return (*bones, *skeleton.hand_flesh(), *skeleton.forearm_flesh())


def _hand(view: View) -> tuple[Body, ...]:
    return _lower_arm(view.fan)


def _arm(view: View) -> tuple[Body, ...]:
    bend = about_x(view.flexion)
    upper = (*skeleton.humerus(), *skeleton.upper_arm_flesh())
    return (*upper, *(turned(body, bend, (0.0, 0.0, 2.0)) for body in _lower_arm()))


def _shoulder(view: View) -> tuple[Body, ...]:
    return (*_arm(view), *skeleton.shoulder_girdle(), *skeleton.shoulder_flesh())


def _chest(_: View) -> tuple[Body, ...]:
    return skeleton.chest()


_HAND_VIEWS = (View("PA"), View("OBL", turn=42, fan=5), View("LAT", turn=86, fan=9))
_ARM_VIEWS = (View("AP"), View("LAT", turn=88), View("OBL", turn=45))
SETUPS: dict[Region, Setup] = {
    Region.ELBOW: Setup(
        _arm, (3, -4), (185, 148), (View("AP"), View("LAT", turn=88, flexion=88), View("OBL", turn=42))
    ),
    Region.FINGER: Setup(_hand, (33, skeleton.WRIST + 118), (125, 100), _HAND_VIEWS, fingers_up=True),
    Region.FOREARM: Setup(_arm, (0, 122), (330, 264), _ARM_VIEWS),
    Region.HAND: Setup(_hand, (10, skeleton.WRIST + 80), (262, 210), _HAND_VIEWS, fingers_up=True),
    Region.HUMERUS: Setup(_shoulder, (-12, -165), (385, 308), (View("AP"), View("LAT", turn=70), View("OBL", turn=30))),
    Region.SHOULDER: Setup(
        _shoulder, (-38, -292), (200, 250), (View("AP"), View("OBL", turn=-28), View("LAT", turn=52))
    ),
    Region.WRIST: Setup(_hand, (2, skeleton.WRIST + 8), (165, 132), _HAND_VIEWS, fingers_up=True),
}
CHEST = Setup(_chest, (0, -10), (430, 430), (View("PA"),))


def draw(exposure: Exposure) -> Floats:
    """The finished picture [rows, columns], 0 black to 1 white, bone bright. The same exposure, the same picture."""
    setup = CHEST if exposure.region is None else SETUPS[exposure.region]
    rng = np.random.default_rng([exposure.person.seed, exposure.seed])
    divisor = FULL_GRID_DIVISOR if exposure.rows > 1000 else 1
    grid = _grid_of(exposure, setup, divisor)
    picture = processed(*_attenuation(_placed(exposure, setup, rng), grid, exposure.person, rng), grid)
    picture = oriented(picture, setup.fingers_up, exposure.side is Laterality.RIGHT)
    shutter = collimation(grid, rng)
    if divisor > 1:
        picture, shutter = (resized(image, exposure.rows, exposure.columns) for image in (picture, shutter))
        shutter = np.clip(shutter, 0, 1)  # the cubic kernel overshoots at the edge
    picture = marked(picture, exposure.side.value, shutter, rng)
    return noisy(picture, rng) * shutter


def spacing_of(exposure: Exposure) -> float:
    """mm a pixel at the detector."""
    setup = CHEST if exposure.region is None else SETUPS[exposure.region]
    return max(setup.field[0] / exposure.rows, setup.field[1] / exposure.columns)


def _grid_of(exposure: Exposure, setup: Setup, divisor: int) -> Grid:
    rows, columns = -(-exposure.rows // divisor), -(-exposure.columns // divisor)
    spacing = spacing_of(exposure) * divisor / exposure.person.size
    return Grid(rows, columns, -columns * spacing / 2, -rows * spacing / 2, spacing)


def _placed(exposure: Exposure, setup: Setup, rng: np.random.Generator) -> tuple[Body, ...]:
    """The bodies as the ray sees them, the middle of the field at the origin."""
    own = np.random.default_rng([exposure.person.seed, 1])
    bodies = tuple(_personal(body, own) for body in setup.bodies(exposure.view))
    if exposure.region is not None:
        bodies = injured(bodies, exposure.region, exposure.injury, own)
    x, y = setup.centre
    pivot = (x, y, 0.0)
    shift = rng.normal(0, 0.02, 2) * setup.field
    tilt = about_z(float(rng.normal(0, 4))) @ about_y(exposure.view.turn + float(rng.normal(0, 2)))
    return tuple(_shifted(turned(body, tilt, pivot), -x + shift[1], -y + shift[0]) for body in bodies)


def _personal(body: Body, rng: np.random.Generator) -> Body:
    """Nobody's bones are the book's: every body a little wider or narrower, more bent or more wavy."""
    wide, bend, phase = rng.normal(1, 0.035), rng.normal(0, 0.6), rng.uniform(0, 6.28)
    match body:
        case Tube() if body.matter is not Matter.METAL:
            profile = tuple((t, a * wide, b * wide, offset) for t, a, b, offset in body.profile)
            return replace(body, profile=profile, bend=body.bend + bend * (body.matter is Matter.BONE))
        case Lump():
            rx, ry, rz = body.radii
            waves = tuple((cycles, size, own + 0.5 * phase) for cycles, size, own in body.waves)
            return replace(body, radii=(rx * wide, ry * (2 - wide), rz), waves=waves)
        case _:
            return body


def _shifted(body: Body, x: float, y: float) -> Body:
    match body:
        case Tube():
            (x0, y0, z0), (x1, y1, z1) = body.start, body.end
            return replace(body, start=(x0 + x, y0 + y, z0), end=(x1 + x, y1 + y, z1))
        case Lump():
            x0, y0, z0 = body.centre
            return replace(body, centre=(x0 + x, y0 + y, z0))
        case _:
            return replace(body, corners=tuple((x0 + x, y0 + y, z0) for x0, y0, z0 in body.corners))


def _attenuation(
    bodies: tuple[Body, ...], grid: Grid, person: Person, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Attenuation [rows, columns] along each ray by tissue (0 in air, 0.5 in a hand, 2 in a shoulder) and by metal."""
    flesh, lung, bone, metal = _paths(bodies, grid, trabeculae(rng))
    soft = np.asarray(np.sqrt(np.sqrt(np.sqrt(flesh))) * (FLESH_UNIT * person.flesh), dtype=np.float32)
    soft = np.clip(soft - LUNG_SHARE * lowpass(lung, grid, 4.0), 0, None)
    # Skin and fat hold back a little less than the muscle under them.
    muscle = np.clip(lowpass(soft, grid, 2.0) - 9, 0, None)
    uneven = 1 + 0.02 * _clouds(grid, rng, 26) + 0.008 * _clouds(grid, rng, 7)
    tissue = SOFT_MU * (0.85 * soft + 0.18 * muscle) * uneven + BONE_MU * person.density * bone
    return blurred(tissue), blurred(METAL_MU * metal)


def _paths(bodies: tuple[Body, ...], grid: Grid, texture: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Path lengths in mm [rows, columns]: flesh (the eighth power of a path in FLESH_UNIT), lung, bone, metal."""
    flesh, lung, bone, metal = (np.zeros((grid.rows, grid.columns), dtype=np.float32) for _ in range(4))
    for whole in dict.fromkeys(body.whole for body in bodies):
        parts = [(body.matter, rays_through(body, grid, texture)) for body in bodies if body.whole == whole]
        _add_bone(bone, [(matter, rays) for matter, rays in parts if rays is not None])
        for matter, rays in parts:
            if rays is None:
                continue
            if matter is Matter.SOFT:
                # The eighth power joins overlapping bodies without a seam and without counting them twice.
                flesh[rays.window] += np.square(np.square(np.square(rays.outer * np.float32(1 / FLESH_UNIT))))
            elif matter is Matter.AIR:
                lung[rays.window] = np.maximum(lung[rays.window], rays.outer)
            elif matter is Matter.METAL:
                metal[rays.window] = np.maximum(metal[rays.window], rays.outer)
    return flesh, lung, bone, metal


def _add_bone(bone: Floats, parts: list[tuple[Matter, Rays]]) -> None:
    """Adds one bone's path to `bone`. Its parts are one body: the longest outer ray less the longest through marrow."""
    solid = [rays for matter, rays in parts if matter is Matter.BONE]
    if len(solid) == 1 and len(parts) == 1:
        bone[solid[0].window] += solid[0].outer - solid[0].marrow
        return
    if not solid:
        return
    outer, marrow = np.zeros_like(bone), np.zeros_like(bone)
    for rays in solid:
        outer[rays.window] = np.maximum(outer[rays.window], rays.outer)
        marrow[rays.window] = np.maximum(marrow[rays.window], rays.marrow)
    path = outer - marrow
    for rays in (rays for matter, rays in parts if matter is Matter.HOLLOW):
        path[rays.window] *= 1 - 0.55 * rays.outer / max(float(rays.outer.max()), 1e-3)
    bone += path


def _clouds(grid: Grid, rng: np.random.Generator, millimetres: float) -> Floats:
    """Unevenness of soft tissue, of about this size, mean 0, deviation about 0.5."""
    count = [max(5, round(side * grid.spacing / millimetres) + 3) for side in (grid.rows, grid.columns)]
    coarse = np.pad(rng.standard_normal((count[0], count[1]), dtype=np.float32), 1, mode="edge")
    return resized(blurred(coarse), grid.rows, grid.columns)
