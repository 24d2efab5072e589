"""Whether a codec of this machine decodes what it encoded: for `mura-batch doctor`."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np


def decodes_what_it_encodes(codec: str) -> bool:
    """A round trip of 12-bit pixels (JPEG, which is lossy, of 8 and 12 bits; bytes for RLE and deflate).

    codec: a value of `dicom.syntax.CODECS`. Raises ImportError where imagecodecs cannot be loaded, KeyError for another
    codec, and whatever the codec raises.
    """
    import imagecodecs

    picture = (np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 5) % 4096
    grey = (picture >> 4).astype(np.uint8)
    trips: dict[str, Callable[[], bool]] = {
        "jpeg": lambda: (
            _near(imagecodecs.jpeg8_decode(imagecodecs.jpeg8_encode(grey, level=95)), grey)
            and _near(imagecodecs.jpeg8_decode(imagecodecs.jpeg_encode(picture, level=95, bitspersample=12)), picture)
        ),
        "jpeg lossless": lambda: _same(
            imagecodecs.jpeg8_decode(imagecodecs.jpeg_encode(picture, lossless=True, bitspersample=12)), picture
        ),
        "jpeg-ls": lambda: _same(imagecodecs.jpegls_decode(imagecodecs.jpegls_encode(picture, level=0)), picture),
        "jpeg 2000": lambda: _same(
            imagecodecs.jpeg2k_decode(imagecodecs.jpeg2k_encode(picture, level=0, reversible=True)), picture
        ),
        "htj2k": lambda: _same(
            imagecodecs.htj2k_decode(imagecodecs.htj2k_encode(picture, level=0, reversible=True)), picture
        ),
        "jpeg xl": lambda: _same(
            imagecodecs.jpegxl_decode(imagecodecs.jpegxl_encode(picture, lossless=True, bitspersample=12)), picture
        ),
        "deflate": lambda: zlib.decompress(zlib.compress(grey.tobytes())) == grey.tobytes(),
        "uncompressed": lambda: True,  # its bytes are the stored values
        "rle": lambda: (
            bytes(imagecodecs.packbits_decode(imagecodecs.packbits_encode(grey.tobytes()))) == grey.tobytes()
        ),
    }
    return trips[codec]()


def _same(ours: Any, theirs: Any) -> bool:
    return bool(np.array_equal(ours, theirs))


def _near(ours: Any, theirs: Any) -> bool:
    """Lossy: the median difference is at most a sixteenth of the range; a saw-tooth picture has larger single ones."""
    difference = np.abs(ours.astype(np.int64) - theirs.astype(np.int64))
    return bool(np.median(difference) <= theirs.max() / 16) and ours.shape == theirs.shape
