"""Training pictures of which random squares are cut: all of one shorter side, in one file.

For `resize = "crop"`. Scoring sees the centre square (mura_batch/preprocess.py); training cuts one at random from each
view, so it needs the ends too. Pictures are scaled by the same filter.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mura_batch.atomic_files import atomic_file, make_folder
from mura_batch.progress import progress_bar
from train.data.examples import TRAIN, Dataset
from train.data.input_cache import CACHE_FIX, fingerprint, in_processes, read_picture

LONGEST = 4  # times the shorter side: what is beyond the middle of a longer picture is left out
_SHAPE = np.dtype("<u4")


class WholePictures:
    """[h, w] uint8 of each row, min(h, w) the same for all; memory-mapped.

    The file holds the pictures one after another, then their shapes, [N, 2] little-endian uint32. Pickled as its path.
    """

    def __init__(self, path: Path, count: int) -> None:
        self._path, self._count = path, count
        self._data: NDArray[np.uint8] = np.memmap(path, np.uint8, "r")
        self._shapes = self._data[len(self._data) - count * 2 * _SHAPE.itemsize :].view(_SHAPE).reshape(count, 2)
        self._ends = np.cumsum(self._shapes.prod(axis=1, dtype=np.int64))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, row: int) -> NDArray[np.uint8]:
        height, width = (int(side) for side in self._shapes[row])
        end = int(self._ends[row])
        return self._data[end - height * width : end].reshape(height, width)

    def __reduce__(self) -> tuple[type[WholePictures], tuple[Path, int]]:
        return WholePictures, (self._path, self._count)


def whole_pictures(dataset: Dataset, size: int, cache: Path) -> WholePictures:
    """The training split of a data set of pictures, with a progress bar where it is decoded. size: the shorter side.
    Raises InputError that names a picture that cannot be read, OutputError when the cache cannot be written."""
    examples = dataset.split(TRAIN)
    path = cache / f"whole-{size}-{fingerprint(dataset, examples, (LONGEST, size))}.bin"
    if not path.is_file():
        make_folder(path.parent, CACHE_FIX)
        shapes = []
        with atomic_file(path, CACHE_FIX) as file, progress_bar(f"reading {TRAIN}", len(examples)) as advance:
            paths = [dataset.root / e.image for e in examples]
            for done, picture in enumerate(in_processes(partial(_read, size=size), paths), start=1):
                file.write(picture.tobytes())
                shapes.append(picture.shape)
                advance(done, "")
            file.write(np.array(shapes, _SHAPE).tobytes())
    return WholePictures(path, len(examples))


def with_shorter_side(display: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """display: [H, W]. Returns [h, w] with min(h, w) = size and max(h, w) at most LONGEST times that."""
    shorter = min(display.shape)
    height, width = (min(side, LONGEST * shorter) for side in display.shape)
    top, left = (display.shape[0] - height) / 2, (display.shape[1] - width) / 2
    scaled = round(width * size / shorter), round(height * size / shorter)
    box = left, top, left + width, top + height
    return np.asarray(Image.fromarray(display).resize(scaled, Image.Resampling.BILINEAR, box))


def _read(path: Path, size: int) -> NDArray[np.uint8]:
    return with_shorter_side(read_picture(path), size)
