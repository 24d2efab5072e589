"""What makes a phantom abnormal: a broken bone, or the metal that holds one together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from mura_batch.phantom.bodies import Body, Fracture, Lump, Matter, Point, Tube
from mura_batch.records import Region


class Injury(Enum):
    NONE = "none"
    FRACTURE = "fracture"
    METAL = "metal"


@dataclass(frozen=True, slots=True)
class Site:
    """Where a region breaks: a bone, the range of fractions of its length, and how wide its plates are, mm."""

    bone: str
    low: float
    high: float
    plate_width: float


_SITES: dict[Region, tuple[Site, ...]] = {
    Region.FINGER: (Site("2.1", 0.35, 0.6, 4.5), Site("2.2", 0.4, 0.6, 4.0)),
    Region.HAND: (Site("5.0", 0.66, 0.8, 5.0), Site("4.0", 0.4, 0.6, 5.0), Site("2.0", 0.4, 0.6, 5.0)),
    Region.WRIST: (Site("radius", 0.905, 0.935, 11.0),),
    Region.FOREARM: (Site("radius", 0.45, 0.68, 9.0), Site("ulna", 0.4, 0.7, 8.5)),
    Region.ELBOW: (Site("radius", 0.06, 0.08, 6.0), Site("ulna", 0.16, 0.22, 9.0), Site("humerus", 0.84, 0.88, 11.0)),
    Region.HUMERUS: (Site("humerus", 0.42, 0.66, 13.0),),
    Region.SHOULDER: (Site("humerus", 0.135, 0.165, 13.0), Site("clavicle", 0.45, 0.6, 9.0)),
}


def injured(bodies: tuple[Body, ...], region: Region, injury: Injury, rng: np.random.Generator) -> tuple[Body, ...]:
    """The region's bodies with a displaced or hairline fracture, or with a plate and screws over a healing one."""
    if injury is Injury.NONE:
        return bodies
    sites = _SITES[region]
    site = sites[int(rng.integers(len(sites)))]
    bone = next(body for body in bodies if isinstance(body, Tube) and body.name == site.bone)
    at = float(rng.uniform(site.low, site.high))
    width = _at(bone, at)[0]
    if injury is Injury.METAL:
        broken = replace(bone, fracture=Fracture(at, slant=0.35, gap=0.25, jag=0.6))
        metal = plate(bone, at, site.plate_width, rng)
    else:
        broken, metal = replace(bone, fracture=_break(at, width, rng)), ()
    return (*(broken if body is bone else body for body in bodies), *metal)


def _break(at: float, half_width: float, rng: np.random.Generator) -> Fracture:
    """Two of three are displaced or angulated; the third is a lucent line, wide enough for a small picture."""
    sign = 1 if rng.random() < 0.5 else -1
    slant = float(rng.uniform(0.15, 0.9)) * sign
    if rng.random() < 0.65:
        return Fracture(
            at,
            slant=slant,
            gap=float(rng.uniform(0.2, 1.6)),
            shift=min(float(rng.uniform(0.3, 0.75)) * half_width, 6.0) * sign,
            angle=float(rng.uniform(5, 15)) * sign,
            jag=min(float(rng.uniform(0.12, 0.24)) * half_width, 2.0),
        )
    return Fracture(at, slant=slant, gap=float(rng.uniform(1.0, 1.8)), shift=0.08 * half_width, jag=0.14 * half_width)


def plate(bone: Tube, at: float, width: float, rng: np.random.Generator) -> tuple[Body, ...]:
    """A straight plate on the bone's surface with 4 to 8 screws, as near to `at` as the bone's length lets it be."""
    start, end, across = np.array(bone.start), np.array(bone.end), np.array(bone.across)
    axis = (end - start) / np.linalg.norm(end - start)
    across = across - axis * (axis @ across)
    across = across / np.linalg.norm(across)
    lean = rng.uniform(0.6, 2.2)  # radians round the bone: seen face on, slanting or edge on, as the view has it
    outward = np.cos(lean) * across + np.sin(lean) * np.cross(axis, across)
    sideways = np.cross(axis, outward)
    length = float(np.linalg.norm(end - start))
    screws = int(rng.integers(4, 9))
    pitch = max(width * 1.05, 4.5)
    half = min(screws * pitch / 2 / length, 0.3)
    middle = float(np.clip(at, half + 0.02, 0.98 - half))
    centres = [_on_axis(bone, middle + half * (2 * (n + 0.5) / screws - 1), across) for n in range(screws)]
    radii = [_at(bone, middle + half * (2 * (n + 0.5) / screws - 1))[0] for n in range(screws)]
    stand = float(np.median(radii)) + 1.2  # mm from the axis to the plate's middle
    along = axis * pitch * 0.5
    profile = ((0.0, width / 2, 1.5, 0.0), (1.0, width / 2, 1.5, 0.0))
    metal: list[Body] = [
        Tube(
            "plate", _point(centres[0] + outward * stand - along), _point(centres[-1] + outward * stand + along),
            profile, Matter.METAL, caps=(width / 2, width / 2), across=_point(sideways),
        )
    ]  # fmt: skip
    for centre, radius in zip(centres, radii, strict=True):
        metal += _screw(centre, outward, stand, radius, width)
    return tuple(metal)


def _screw(
    centre: np.ndarray[tuple[int], np.dtype[np.float64]],
    outward: np.ndarray[tuple[int], np.dtype[np.float64]],
    stand: float,
    radius: float,
    plate_width: float,
) -> list[Body]:
    shank = min(1.75, plate_width * 0.17)
    head = shank * 1.75
    profile = ((0.0, shank, shank, 0.0), (1.0, shank, shank, 0.0))
    top, tip = centre + outward * (stand + 1.5), centre - outward * (radius + 1.5)
    return [
        Tube(
            "screw", _point(top), _point(tip), profile, Matter.METAL,
            caps=(0.3, 2.5), across=_perpendicular(outward), thread=1.4,
        ),
        Lump("screw head", _point(top), (head, head, head * 0.7), matter=Matter.METAL),
    ]  # fmt: skip


def _perpendicular(vector: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Point:
    other = np.array([1.0, 0.0, 0.0]) if abs(vector[0]) < 0.8 else np.array([0.0, 1.0, 0.0])
    crossed = np.cross(vector, other)
    return _point(crossed / np.linalg.norm(crossed))


def _at(bone: Tube, fraction: float) -> tuple[float, float]:
    """Half-width and sideways offset of the bone there, mm."""
    where, half_width, _, offset = zip(*bone.profile, strict=True)
    return float(np.interp(fraction, where, half_width)), float(np.interp(fraction, where, offset))


def _on_axis(
    bone: Tube, fraction: float, across: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    start, end = np.array(bone.start), np.array(bone.end)
    aside = _at(bone, fraction)[1] + bone.bend * 4 * fraction * (1 - fraction)
    return np.asarray(start + (end - start) * fraction + across * aside)


def _point(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Point:
    return (float(values[0]), float(values[1]), float(values[2]))
