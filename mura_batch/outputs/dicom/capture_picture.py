"""The picture of a secondary capture: the model's input under its activation map, with the score written below."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mura_batch.dicom.write.result_sc import Capture
from mura_batch.outputs.report.thumbnails import blend_map

SIDE = 640  # pixels: a model input of 320 drawn twice as large leaves room for two lines of text that can be read
_LINE = 22  # pixels of a line of text
_FONT_SIZE = 16


def capture_picture(thumbnail: bytes, probability: float, lines: tuple[str, ...]) -> Capture:
    """thumbnail: the run's JPEG of picture and map. lines: burned in below the picture. Raises ValueError or OSError
    where the thumbnail is damaged."""
    picture = blend_map(thumbnail, probability)
    ratio = picture.width * picture.height / len(thumbnail)  # bytes of the grey model input over those of its JPEG
    canvas = Image.new("RGB", (SIDE, SIDE + _LINE * len(lines) + 6))
    canvas.paste(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC), (0, 0))
    draw = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        draw.text((6, SIDE + 3 + number * _LINE), line, fill=(255, 255, 255), font=_font())
    return Capture(np.asarray(canvas), max(1.0, ratio))


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_FONT_SIZE)
