"""Small pictures of what the model saw, and of where it looked: written as a run streams, read by the report."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mura_batch.records import short_key
from mura_batch.report.files import write_plain

SIZE = 224  # pixels: what a report shows of an image
_OPAQUE = 165 / 255  # the map at its strongest: the bone is seen through it
_QUALITY = 72  # JPEG: about 8 kB a picture


def thumbnail_paths(folder: Path, sop_instance_uid: str) -> tuple[Path, Path]:
    """(picture, picture with activation map). Named by a hash: a UID from a file is never a file name."""
    key = short_key(sop_instance_uid)
    return folder / f"{key}.jpg", folder / f"{key}-map.jpg"


def save_thumbnail(
    folder: Path, sop_instance_uid: str, image: NDArray[np.uint8], cam: NDArray[np.float32], probability: float
) -> None:
    """image: [S, S] uint8; cam: [h, w], in logits. The map is drawn as strong as the probability it belongs to: a
    normal image does not glow. Raises OutputError."""
    picture = Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    plain, mapped = thumbnail_paths(folder, sop_instance_uid)
    _save(picture, plain)
    heat = _positive(cam)
    strength = _OPAQUE * min(1.0, 0.25 + probability)
    opacity = heat.point([round(level * strength) for level in range(256)])
    heat.putpalette(_PALETTE)
    _save(Image.composite(heat.convert("RGB"), picture.convert("RGB"), opacity), mapped)


def _positive(cam: NDArray[np.float32]) -> Image.Image:
    """What speaks for abnormal, 0 to 255 of its own maximum, as large as the picture."""
    positive = np.maximum(np.nan_to_num(cam), 0)
    levels = (positive * (255 / max(float(positive.max()), 1e-6))).astype(np.uint8)
    return Image.fromarray(levels).resize((SIZE, SIZE), Image.Resampling.BICUBIC)


def _palette() -> bytes:
    """Amber to red: warm on grey is told apart with every kind of colour vision."""
    level = np.arange(256, dtype=np.float32) / 255
    return np.stack([np.full_like(level, 255), 200 - 150 * level, 40 + 0 * level], axis=1).astype(np.uint8).tobytes()


_PALETTE = _palette()


def _save(picture: Image.Image, path: Path) -> None:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY)
    write_plain(path, buffer.getbuffer())
