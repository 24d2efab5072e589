"""From attenuation to a finished picture: what detector, processing, diaphragm and side marker make of it."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mura_batch.phantom.bodies import Floats, Grid


def lowpass(image: Floats, grid: Grid, millimetres: float) -> Floats:
    """The image without structure finer than about this."""
    rows = max(3, round(grid.rows * grid.spacing / millimetres))
    columns = max(3, round(grid.columns * grid.spacing / millimetres))
    if rows >= grid.rows or columns >= grid.columns:
        return image
    return resized(resized(image, rows, columns, Image.Resampling.BILINEAR), grid.rows, grid.columns)


def resized(image: Floats, rows: int, columns: int, how: Image.Resampling = Image.Resampling.BICUBIC) -> Floats:
    return np.asarray(Image.fromarray(image.astype(np.float32, copy=False)).resize((columns, rows), how))


def blurred(image: Floats) -> Floats:
    """Focal spot and detector: a 1-2-1 kernel each way."""
    padded = np.pad(image, 1, mode="edge")
    vertical = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    both = vertical[:, :-2] + 2 * vertical[:, 1:-1] + vertical[:, 2:]
    return np.asarray(both * np.float32(1 / 16), dtype=np.float32)


def processed(tissue: Floats, metal: Floats, grid: Grid) -> Floats:
    """What a digital system makes of it: part of the slow changes taken out, edges raised a little, greys spread out
    over the tissue, so that metal is white."""
    image = 1.35 * tissue - 0.45 * lowpass(tissue, grid, 28.0) - 0.35 * lowpass(tissue, grid, 1.6)
    body = image[tissue > 0.08]
    low, high = np.percentile(body[::7], (2.0, 99.3)) if body.size > 1000 else (0.0, 1.0)
    air = float(np.percentile(image[::4, ::4], 0.5))
    low = min(float(low), air + 0.25)
    grey = (image + metal - low) / max(float(high) - low, 0.1)
    grey = 0.12 + 0.70 * grey
    return np.asarray(1 / (1 + np.exp(-4.6 * (np.clip(grey, -0.5, 2.0) - 0.5))), dtype=np.float32)


def oriented(picture: Floats, fingers_up: bool, right: bool) -> Floats:
    """Fingers point up where the region is taken so; the right arm is the left one's mirror image."""
    if fingers_up:
        picture = picture[::-1]
    if right:
        picture = picture[:, ::-1]
    return np.ascontiguousarray(picture)


def collimation(grid: Grid, rng: np.random.Generator) -> Floats:
    """1 inside the lead diaphragm's rectangle, 0 outside, with a penumbra; a little askew."""
    y = np.linspace(-1, 1, grid.rows, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, grid.columns, dtype=np.float32)[None, :]
    askew = float(rng.normal(0, 0.02))
    left, right, top, bottom = 1 - rng.choice([0.0, 0.06, 0.1, 0.16], 4) * rng.uniform(0.6, 1.2, 4)
    edge = np.float32(grid.columns / 5)
    inside = np.minimum(
        np.minimum(x + askew * y + left, right - x - askew * y), np.minimum(y - askew * x + top, bottom - y + askew * x)
    )
    return np.asarray(np.clip(inside * edge, 0, 1), dtype=np.float32)


def marked(picture: Floats, side: str, shutter: Floats, rng: np.random.Generator) -> Floats:
    """A lead letter for the side, L or R, where it hides least of the six places in which one is put."""
    rows, columns = picture.shape
    letter = _letter(side, max(12, round(max(rows, columns) * 0.045)))
    height, width = letter.shape
    places = [
        (slice(row, row + height), slice(column, column + width))
        for row in (round(rows * down) + int(rng.integers(-3, 4)) for down in (0.14, 0.2, 0.8))
        for column in (round(columns * right) + int(rng.integers(-3, 4)) for right in (0.16, 0.78))
    ]
    outside = 5.0  # a letter under the diaphragm would not be seen at all
    best = min(places, key=lambda place: float(picture[place].mean()) + outside * float(1 - shutter[place].min()))
    marked = picture.copy()
    marked[best] = np.maximum(marked[best], letter * np.float32(0.97))
    return marked


def _letter(text: str, height: int) -> Floats:
    """[h, w] 0 to 1."""
    font = ImageFont.load_default(size=float(height))
    left, top, right, bottom = font.getbbox(text, stroke_width=height // 22)
    canvas = Image.new("L", (round(right - left) + 2, round(bottom - top) + 2), 0)
    ImageDraw.Draw(canvas).text((1 - left, 1 - top), text, fill=255, font=font, stroke_width=height // 22)
    return np.asarray(canvas, dtype=np.float32) / np.float32(255)


def noisy(picture: Floats, rng: np.random.Generator) -> Floats:
    """Quantum noise: fewer photons reach the detector behind bone, so bright places are noisier. 0 to 1."""
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    noise[1:] += 0.5 * noise[:-1]  # the scintillator spreads light to the neighbours
    noise *= np.float32(0.004) + np.float32(0.009) * picture
    noise += picture
    return np.clip(noise, 0.004, 1.0, out=noise)
