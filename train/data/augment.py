"""Random views of a model input: one affine resampling and one grey-level curve a picture, seeded per picture.

The seed of a picture depends on (seed, epoch, index) alone, so a resumed run, another batch size or another number
of loader processes sees the same pictures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

FILTERS = (
    Image.Resampling.BOX,
    Image.Resampling.BILINEAR,
    Image.Resampling.BICUBIC,
    Image.Resampling.LANCZOS,
)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Ranges of the random view; zeros switch a part off. Angles in degrees, the rest as fractions."""

    flip: float = 0.5  # probability of a left-right flip: a left hand mirrored is a right hand
    rotate: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    shear: float = 0.0
    gamma: float = 0.0  # exponent drawn log-uniformly from 1/(1+g) .. 1+g
    contrast: float = 0.0
    brightness: float = 0.0
    erase: float = 0.0  # probability that one rectangle of 2 % to 15 % of the area is filled with grey
    zoom: float = 0.0  # enlarged by 1 .. 1 + zoom, never reduced
    focal: bool = False  # zoomed about a random point, as fastai 1 does it, instead of the centre
    lighting: float = 0.0  # brightness and contrast as fastai 1 changes them, in logits
    resample: float = 0.0  # probability of being scaled down to 0.4 to 1 and up again, by one of four filters
    blur: float = 0.0  # probability of a Gaussian blur of 0.3 to 1.2 pixels
    compress: float = 0.0  # probability of a passage through JPEG or WebP of quality 30 to 95
    chance: float = 1.0  # probability of each: rotation, zoom, brightness and contrast of `lighting`


def augment(image: NDArray[np.uint8], how: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    """[H, W] uint8 -> [S, S] uint8, S the shorter side. Of a picture that is no square, a random square of the turned
    whole, as fastai 1 cuts it."""
    size = min(image.shape)
    warped = np.asarray(
        Image.fromarray(image).transform(
            (size, size), Image.Transform.AFFINE, _inverse_affine(image.shape, how, rng), Image.Resampling.BILINEAR
        )
    )
    curved: NDArray[np.uint8] = _grey_curve(how, rng)[warped]
    if rng.random() < how.erase:
        _erase(curved, rng)
    if how.resample or how.blur or how.compress:
        return _stored(curved, how, rng)
    return curved


def _stored(image: NDArray[np.uint8], how: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    """What archives and data sets do to a picture before it reaches us: scaled, smoothed and compressed by others."""
    picture = Image.fromarray(image)
    if rng.random() < how.resample:
        small = max(8, round(rng.uniform(0.4, 1.0) * picture.width))
        down, up = (FILTERS[int(rng.integers(len(FILTERS)))] for _ in range(2))
        picture = picture.resize((small, small), down).resize(picture.size, up)
    if rng.random() < how.blur:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.2)))
    if rng.random() < how.compress:
        kind = ("JPEG", "WEBP")[int(rng.integers(2))]
        stream = BytesIO()
        picture.save(stream, kind, quality=int(rng.integers(30, 96)))
        picture = Image.open(stream).convert("L")
    result = np.array(picture)
    result[~image.any(axis=1)] = 0  # the letterbox comes after all this when scoring: its bars stay black
    result[:, ~image.any(axis=0)] = 0
    return result


def _inverse_affine(shape: tuple[int, ...], how: Augmentation, rng: np.random.Generator) -> tuple[float, ...]:
    """Output pixel -> input pixel, about the centre, as Pillow wants it (a, b, c, d, e, f)."""
    sides = np.array([shape[1], shape[0]])
    size = sides.min()
    angle = math.radians(rng.uniform(-how.rotate, how.rotate)) * _happens(how, rng)
    shear = math.tan(math.radians(rng.uniform(-how.shear, how.shear)))
    zoom = math.exp(rng.uniform(-1, 1) * math.log1p(how.scale))
    enlarged = 1 + rng.uniform(0, how.zoom) * _happens(how, rng) if how.zoom else 1.0
    zoom *= enlarged
    flip = -1.0 if rng.random() < how.flip else 1.0
    cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
    a, b, d, e = flip * cos, flip * (shear * cos - sin), sin, shear * sin + cos
    centre_x, centre_y = sides / 2
    # of the output: away from the centre by the shift, and by where the square is cut
    dx, dy = sides / 2 + rng.uniform(-how.shift, how.shift, 2) * size
    if (sides != size).any():
        dx, dy = (dx, dy) - rng.uniform(0, 1, 2) * (sides - size)
    # a point that stays where it is, instead of the centre, moves the window towards it by what the zoom cuts off
    fx, fy = (rng.uniform(-0.5, 0.5, 2) if how.focal else np.zeros(2)) * sides * (1 - 1 / enlarged)
    c = centre_x + fx - a * dx - b * dy
    f = centre_y + fy - d * dx - e * dy
    return a, b, c, d, e, f


def _happens(how: Augmentation, rng: np.random.Generator) -> bool:
    return how.chance >= 1 or bool(rng.random() < how.chance)


def _grey_curve(how: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A 256-entry table: gamma, then contrast about the middle, then brightness."""
    x = np.linspace(0, 1, 256) ** math.exp(rng.uniform(-1, 1) * math.log1p(how.gamma))
    if how.lighting:
        x = _lit(x, how, rng)
    x = (x - 0.5) * (1 + rng.uniform(-how.contrast, how.contrast)) + 0.5 + rng.uniform(-how.brightness, how.brightness)
    curve = np.clip(x * 255, 0, 255).round().astype(np.uint8)
    curve[0] = 0  # the letterbox bars stay black, as they are when scoring
    return curve


def _lit(x: NDArray[np.float64], how: Augmentation, rng: np.random.Generator) -> NDArray[np.float64]:
    """fastai 1, vision.transform: on the logit of a pixel, brightness adds logit(0.5 - l/2 .. 0.5 + l/2), and contrast
    multiplies by 1 - l .. 1/(1 - l), drawn log-uniformly."""
    x = np.clip(x, 1e-7, 1 - 1e-7)  # fastai's logit_ clamps alike
    logit = np.log(x / (1 - x))
    change, scale = rng.uniform(0.5 - how.lighting / 2, 0.5 + how.lighting / 2), rng.uniform(-1, 1)
    logit += math.log(change / (1 - change)) * _happens(how, rng)
    logit *= math.exp(-scale * math.log1p(-how.lighting) * _happens(how, rng))
    return np.asarray(1 / (1 + np.exp(-logit)))


def _erase(image: NDArray[np.uint8], rng: np.random.Generator) -> None:
    size = image.shape[0]
    area, ratio = rng.uniform(0.02, 0.15) * size * size, math.exp(rng.uniform(-1, 1) * math.log(2.5))
    h, w = min(size, round(math.sqrt(area * ratio))), min(size, round(math.sqrt(area / ratio)))
    top, left = rng.integers(0, size - h + 1), rng.integers(0, size - w + 1)
    image[top : top + h, left : left + w] = rng.integers(0, 256)
