"""What the model saw and where it looked: kept as a run streams, as little work as can be, and drawn by the report for
the few images that it shows."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mura_batch.records import short_key
from mura_batch.report.files import write_plain

_OPAQUE = 165 / 255  # the map at its strongest: the bone is seen through it
_QUALITY = 72  # JPEG: about 6 kB a picture of 320 px


def thumbnail_paths(folder: Path, sop_instance_uid: str) -> tuple[Path, Path]:
    """(picture, activation map). Named by a hash: a UID from a file is never a file name."""
    key = short_key(sop_instance_uid)
    return folder / f"{key}.jpg", folder / f"{key}-map.png"


def save_thumbnail(
    folder: Path, sop_instance_uid: str, image: NDArray[np.uint8], cam: NDArray[np.float32]
) -> None:
    """image: [S, S] uint8; cam: [h, w], in logits, kept as what speaks for abnormal, 0 to 255 of its own maximum. Raises
    OutputError."""
    picture, map_path = thumbnail_paths(folder, sop_instance_uid)
    positive = np.maximum(np.nan_to_num(cam), 0)
    levels = (positive * (255 / max(float(positive.max()), 1e-6))).astype(np.uint8)
    write_plain(picture, _encoded(Image.fromarray(image), "JPEG"))
    write_plain(map_path, _encoded(Image.fromarray(levels), "PNG"))


def draw_map(picture: bytes, levels: bytes, probability: float) -> bytes:
    """The two files of a thumbnail -> JPEG of the picture under its map, as strong as the probability that it belongs to:
    a normal image does not glow. Raises OSError where they are no pictures."""
    with Image.open(io.BytesIO(picture)) as file:
        ground = file.convert("RGB")
    with Image.open(io.BytesIO(levels)) as file:
        heat = file.convert("L").resize(ground.size, Image.Resampling.BICUBIC)
    strength = _OPAQUE * min(1.0, 0.25 + probability)
    opacity = heat.point([round(level * strength) for level in range(256)])
    heat.putpalette(_PALETTE)
    return bytes(_encoded(Image.composite(heat.convert("RGB"), ground, opacity), "JPEG"))


def _palette() -> bytes:
    """Amber to red: warm on grey is told apart with every kind of colour vision."""
    level = np.arange(256, dtype=np.float32) / 255
    return np.stack([np.full_like(level, 255), 200 - 150 * level, 40 + 0 * level], axis=1).astype(np.uint8).tobytes()


_PALETTE = _palette()


def _encoded(picture: Image.Image, kind: str) -> memoryview:
    buffer = io.BytesIO()
    picture.save(buffer, kind, quality=_QUALITY)  # PNG has no quality and asks for none
    return buffer.getbuffer()
