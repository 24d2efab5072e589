"""The doctor's look at the decoders: each decodes a small picture here, and is named with its transfer syntaxes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mura_batch.dicom.syntax import CODECS, NATIVE
from mura_batch.doctor.checks import Check

MEND = "Install it again: pip install --force-reinstall imagecodecs"


def decoders() -> Iterator[Check]:
    """One line for pixel data that need no decoder, one for each codec."""
    yield Check("decoder native", "ok", ", ".join(sorted(NATIVE)))
    try:
        import imagecodecs
    except ImportError as error:
        yield Check("decoders", "fail", f"imagecodecs cannot be loaded: {error}", MEND)
        return
    for codec in dict.fromkeys(CODECS.values()):
        syntaxes = ", ".join(syntax for syntax, its in CODECS.items() if its == codec)
        try:
            works = _works(imagecodecs, codec)
        except Exception as error:  # noqa: BLE001  # a codec's own exceptions share no base; the line tells it
            yield Check(f"decoder {codec}", "fail", f"{syntaxes}: {error}", MEND)
            continue
        status, words = ("ok", syntaxes) if works else ("fail", f"{syntaxes}: gave other pixels than it was given")
        yield Check(f"decoder {codec}", status, words, "" if works else MEND)


def _works(imagecodecs: Any, codec: str) -> bool:
    """12-bit pixels (8-bit for baseline JPEG, which is lossy) there and back. Raises what the codec raises."""
    picture = (np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 5) % 4096
    grey = (picture >> 4).astype(np.uint8)
    trips: dict[str, Callable[[], bool]] = {
        "jpeg8": lambda: _near(imagecodecs.jpeg8_decode(imagecodecs.jpeg8_encode(grey, level=95)), grey),
        "jpeg12": lambda: _near(
            imagecodecs.jpeg8_decode(imagecodecs.jpeg_encode(picture, level=95, bitspersample=12)), picture
        ),
        "ljpeg": lambda: _same(
            imagecodecs.jpeg8_decode(imagecodecs.jpeg_encode(picture, lossless=True, bitspersample=12)), picture
        ),
        "jpegls": lambda: _same(imagecodecs.jpegls_decode(imagecodecs.jpegls_encode(picture, level=0)), picture),
        "jpeg2000": lambda: _same(
            imagecodecs.jpeg2k_decode(imagecodecs.jpeg2k_encode(picture, level=0, reversible=True)), picture
        ),
        "htj2k": lambda: _same(
            imagecodecs.htj2k_decode(imagecodecs.htj2k_encode(picture, level=0, reversible=True)), picture
        ),
        "rle": lambda: (
            bytes(imagecodecs.packbits_decode(imagecodecs.packbits_encode(grey.tobytes()))) == grey.tobytes()
        ),
    }
    return trips[codec]()


def _same(ours: Any, theirs: Any) -> bool:
    return bool(np.array_equal(ours, theirs))


def _near(ours: Any, theirs: Any) -> bool:
    """Lossy: no grey further off than a sixteenth of the range, a few in a saw-tooth picture left out."""
    difference = np.abs(ours.astype(np.int64) - theirs.astype(np.int64))
    return bool(np.median(difference) <= theirs.max() / 16) and ours.shape == theirs.shape
