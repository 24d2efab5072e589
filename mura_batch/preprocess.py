"""Display image -> model input: the one function that training and scoring share.

A model was trained on pictures that went through this function; it is scored on pictures that go through this
function. Nothing else in the project resizes a picture for the model, but for the training pictures of which random
squares are cut (train/data/whole_pictures.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mura_batch.errors import PreprocessError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LETTERBOX, STRETCH, CROP = RESIZES = ("letterbox", "stretch", "crop")
MAX_INPUT_SIZE = 1024  # a card that asks for more is a typing error: DenseNet169 needs 140 GFLOP an image there


@dataclass(frozen=True, slots=True)
class InputSpec:
    """How a display image becomes a model input; stored in the model card, so a model carries its own rule.

    size: the model input is size x size pixels. resize: one of RESIZES; 'letterbox' keeps the picture's proportions,
    'stretch' gives them up, 'crop' keeps them and cuts both ends off: the model sees the centre square. pad_value: grey
    level of the letterbox bars, 0 to 255.
    """

    size: int = 320
    pad_value: int = 0
    resize: str = LETTERBOX

    def __post_init__(self) -> None:
        if not 32 <= self.size <= MAX_INPUT_SIZE:
            raise PreprocessError(f"input size {self.size} is outside 32..{MAX_INPUT_SIZE}")
        if not 0 <= self.pad_value <= 255:
            raise PreprocessError(f"pad value {self.pad_value} is outside 0..255")
        if self.resize not in RESIZES:
            raise PreprocessError(f"resize {self.resize!r} is not one of {', '.join(RESIZES)}")

    @property
    def decode_size(self) -> int:
        """What a decoder may reduce a picture to, by its longer side, without a loss to the model input; 0: nothing.
        The others need its shorter side too, and that is not known before the file is read."""
        return self.size if self.resize == LETTERBOX else 0

    def seen(self, rows: int, columns: int, pixel_aspect: float = 1.0) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) of what the model sees of a picture, in its pixels: all of it, unless `resize` is
        'crop'. pixel_aspect: as in `fitted`."""
        if self.resize != CROP:
            return 0.0, 0.0, float(columns), float(rows)
        side = min(rows * pixel_aspect, float(columns))
        # not below 0 by rounding, which Pillow refuses
        left, top = max(0.0, (columns - side) / 2), max(0.0, (rows - side / pixel_aspect) / 2)
        return left, top, columns - left, rows - top

    def fitted(self, rows: int, columns: int, pixel_aspect: float = 1.0) -> tuple[int, int]:
        """(rows, columns), inside the model input, of what is seen of the picture. In a letterbox the longer side is
        `size`, neither is under 1.

        pixel_aspect: height of a pixel over its width (PS3.3 C.7.6.3.1.7 Pixel Aspect Ratio), 1 for square pixels.
        """
        if self.resize != LETTERBOX:
            return self.size, self.size
        height, width = rows * pixel_aspect, float(columns)
        scale = self.size / max(height, width)
        return max(1, round(height * scale)), max(1, round(width * scale))


def preprocess(display: NDArray[np.uint8], spec: InputSpec, pixel_aspect: float = 1.0) -> NDArray[np.uint8]:
    """What the model sees of the picture, antialiased to fit size x size, centred on bars of pad_value.

    display: [H, W] uint8, bone bright. Returns [size, size] uint8. Nothing is cut off unless the model was trained
    so: a fracture at the end of a long bone is still in the picture. Raises PreprocessError on an empty or wrongly
    typed picture.
    """
    import numpy as np
    from PIL import Image

    if display.ndim != 2 or display.dtype != np.uint8 or 0 in display.shape:
        raise PreprocessError(f"a display image is [H, W] uint8 and not empty, not {display.shape} {display.dtype}")
    rows, columns = spec.fitted(display.shape[0], display.shape[1], pixel_aspect)
    # Pillow's bilinear filter widens with the scale: an area filter when it shrinks, plain bilinear when it grows.
    # Averaging blocks first (reducing_gap) would be twice as fast and brighten pictures by a tenth of a grey level.
    box = spec.seen(display.shape[0], display.shape[1], pixel_aspect)
    fitted = Image.fromarray(display).resize((columns, rows), Image.Resampling.BILINEAR, box)
    canvas = np.full((spec.size, spec.size), spec.pad_value, dtype=np.uint8)
    top, left = (spec.size - rows) // 2, (spec.size - columns) // 2
    canvas[top : top + rows, left : left + columns] = np.asarray(fitted)
    return canvas
