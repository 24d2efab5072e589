"""What the model saw and where it looked: encoded as a run streams, at little cost, and drawn by the report for the few
images that it shows."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_OPAQUE = 165 / 255  # the map at its strongest: the bone is seen through it
_QUALITY = 72  # JPEG: about 6 kB a picture of 320 px
_MAP_SIDE = 40  # pixels: four a cell, so that a browser's plain interpolation shows no grid
_STEPS = 32  # of a map's colours: more look alike under a radiograph, and they cost bytes
_COMMENT = b"\xff\xfe"
_LEVELS = tuple(round(step * 255 / (_STEPS - 1)) for step in range(_STEPS))


def encode_thumbnail(image: NDArray[np.uint8], cam: NDArray[np.float32]) -> bytes:
    """One JPEG that holds both. image: [S, S] uint8. cam: [h, w], in logits. The JPEG's comment is h, w, then positive
    class activation, scaled to uint8, a byte a cell."""
    positive = np.maximum(np.nan_to_num(cam), 0)
    levels = (positive * (255 / max(float(positive.max()), 1e-6))).astype(np.uint8)
    comment = bytes(levels.shape) + levels.tobytes()
    return bytes(_jpeg(Image.fromarray(image), comment=comment))


def draw_map(thumbnail: bytes, probability: float) -> bytes:
    """The map alone, a PNG to be stretched over the picture: it shows as `blend_map` does, and can be taken off. It has
    a tenth of the bytes of a JPEG of both. Raises ValueError where there is no map."""
    levels = Image.fromarray(map_levels(thumbnail)).resize((_MAP_SIDE, _MAP_SIDE), Image.Resampling.BICUBIC)
    steps = np.asarray(levels, np.uint16) * (_STEPS - 1) // 255
    strength = _strength(probability)
    return _png(steps.astype(np.uint8), bytes(round(level * strength) for level in _LEVELS))


def _png(steps: NDArray[np.uint8], opacity: bytes) -> bytes:
    """steps: [S, S] places in the palette. opacity: of each place. Written by hand (PNG, third edition, 11.2 and 11.3),
    because a report draws thousands of them."""
    rows = np.zeros((steps.shape[0], steps.shape[1] + 1), np.uint8)  # a filter byte of 0 before each row
    rows[:, 1:] = steps
    header = struct.pack(">IIBBBBB", *steps.shape[::-1], 8, 3, 0, 0, 0)  # 8 bits, palette
    chunks = ((b"IHDR", header), (b"PLTE", _STEP_COLOURS), (b"tRNS", opacity), (b"IDAT", zlib.compress(rows.tobytes())))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in (*chunks, (b"IEND", b"")))


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def map_levels(thumbnail: bytes) -> NDArray[np.uint8]:
    """[h, w] positive class activation, 0 to 255 of its own maximum. Raises ValueError where there is none."""
    place = thumbnail.find(_COMMENT)  # a marker segment: marker, its length in two bytes, content (ITU-T T.81, B.2.4.5)
    length = int.from_bytes(thumbnail[place + 2 : place + 4])
    height, width, *levels = thumbnail[place + 4 : place + 2 + length] if place >= 0 else b""
    return np.array(levels, np.uint8).reshape(height, width)


def blend_map(thumbnail: bytes, probability: float) -> Image.Image:
    """The picture under its map, as strong as the probability that it belongs to: a normal image does not glow. Raises
    ValueError or OSError where it is not a whole thumbnail."""
    levels = map_levels(thumbnail)
    with Image.open(io.BytesIO(thumbnail)) as file:
        picture = file.convert("RGB")
    heat = Image.fromarray(levels).resize(picture.size, Image.Resampling.BICUBIC)
    strength = _strength(probability)
    opacity = heat.point([round(level * strength) for level in range(256)])
    heat.putpalette(_PALETTE)
    return Image.composite(heat.convert("RGB"), picture, opacity)


def _strength(probability: float) -> float:
    return _OPAQUE * min(1.0, 0.25 + probability)


def _palette() -> bytes:
    """Amber to red: warm on grey is distinct with every kind of colour vision."""
    level = np.arange(256, dtype=np.float32) / 255
    return np.stack([np.full_like(level, 255), 200 - 150 * level, 40 + 0 * level], axis=1).astype(np.uint8).tobytes()


_PALETTE = _palette()
_STEP_COLOURS = b"".join(_PALETTE[3 * level : 3 * level + 3] for level in _LEVELS)


def _jpeg(picture: Image.Image, comment: bytes = b"") -> memoryview:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY, comment=comment)
    return buffer.getbuffer()
