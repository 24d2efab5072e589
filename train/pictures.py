"""Reference inputs: radiograph-like pictures made of numbers, so that no patient's picture travels with a model.

A parity gate needs inputs that drive the network as radiographs do: a bright shaft with a darker marrow and two bright
cortices, rounded joints, soft tissue, trabecular texture, collimation, noise. The same seed gives the same bytes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mura_batch.preprocess import InputSpec, preprocess

Plane = NDArray[np.float64]  # [H, W], grey levels 0 to 1
COUNT = 32  # enough for a mean, few enough to stay under 1.5 MB at 320 px
SEED = 20170101  # any fixed number


def reference_pictures(spec: InputSpec, count: int = COUNT, seed: int = SEED) -> NDArray[np.uint8]:
    """[count, S, S] uint8 model inputs."""
    inputs = np.stack([preprocess(_radiograph(np.random.default_rng([seed, i])), spec) for i in range(count)])
    return inputs // 8 * 8  # 32 grey levels: more would double the file and tell the gate nothing new


def _radiograph(rng: np.random.Generator) -> NDArray[np.uint8]:
    """[H, W] uint8 display image, bone bright, long side 336 as in the smallest data set trained on."""
    height, width = 336, int(rng.integers(170, 337))
    v, u = np.mgrid[0:height, 0:width].astype(np.float64)
    picture = 0.03 + 0.3 * _soft_tissue(u, v, rng)
    for centre in _bone_centres(width, rng):
        picture += _bone(u, v, centre, rng)
    if rng.random() < 0.3:
        picture = np.maximum(picture, _plate(u, v, rng))
    picture *= _collimation(u, v, rng)
    picture = picture ** rng.uniform(0.7, 1.4) + rng.normal(0, 0.012, picture.shape)
    return (np.clip(picture, 0, 1) * 255).round().astype(np.uint8)


def _bone_centres(width: int, rng: np.random.Generator) -> NDArray[np.float64]:
    count = int(rng.integers(1, 6))  # one femur to five metacarpals
    return np.asarray((np.arange(count) + 0.5 + rng.uniform(-0.15, 0.15, count)) * width / count)


def _soft_tissue(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    half = u.shape[1] * rng.uniform(0.3, 0.5) * (1 + 0.15 * np.sin(v / rng.uniform(40, 120)))
    return np.asarray(np.clip(1.2 - (np.abs(u - u.shape[1] / 2) / half) ** 3, 0, 1))


def _bone(u: Plane, v: Plane, centre: float, rng: np.random.Generator) -> Plane:
    """A shaft: two cortices around marrow, wider at its ends, tilted, perhaps with an oblique fracture line."""
    height = v.shape[0]
    along = (v - height / 2) / height
    ends = 1 + 0.6 * np.exp(-(((np.abs(along) - 0.42) / 0.08) ** 2))
    radius = rng.uniform(10, 26) * ends
    across = (u - centre - rng.uniform(-0.25, 0.25) * (v - height / 2)) / radius
    cortex = np.exp(-(((np.abs(across) - 0.8) / 0.18) ** 2))
    marrow = 0.45 * (np.abs(across) < 0.8) * (1 + 0.25 * np.sin(u / 2.1 + 3 * np.sin(v / 5.3)))
    bone = rng.uniform(0.4, 0.75) * np.maximum(cortex, marrow) * (np.abs(along) < 0.47)
    if rng.random() < 0.4:
        line = np.abs(along - rng.uniform(-0.3, 0.3) - across * rng.uniform(-0.05, 0.05))
        bone *= 1 - 0.7 * np.exp(-((line / 0.006) ** 2))
    return np.asarray(bone)


def _plate(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    """Metal: a plate with screws, brighter than any bone."""
    x0, y0 = rng.uniform(0.3, 0.7) * u.shape[1], rng.uniform(0.3, 0.6) * u.shape[0]
    plate = (np.abs(u - x0) < 5) & (np.abs(v - y0) < 55)
    screws = (np.abs((v - y0 + 48) % 24 - 12) < 2) & (np.abs(u - x0 - 12) < 14) & (np.abs(v - y0) < 55)
    return np.asarray(0.98 * (plate | screws))


def _collimation(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    left, right = rng.uniform(0, 0.08, 2) * u.shape[1]
    top, bottom = rng.uniform(0, 0.08, 2) * u.shape[0]
    inside = (u >= left) & (u < u.shape[1] - right) & (v >= top) & (v < u.shape[0] - bottom)
    return np.where(inside, 1.0, 0.02)
