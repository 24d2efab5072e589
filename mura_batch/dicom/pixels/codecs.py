"""A compressed frame -> stored values: which decoder, at which resolution. Runs in a worker process that may die.

JPEG 2000 is decoded at the resolution level, baseline JPEG at the DCT scale just above what the model needs; the rest
whole.
"""

from __future__ import annotations

import io

import numpy as np

from mura_batch.dicom.header.layout import Layout
from mura_batch.dicom.pixels.codestream import Frame, frame_of
from mura_batch.dicom.pixels.grid import WHOLE, Grid, flattened
from mura_batch.dicom.pixels.native import Stored
from mura_batch.dicom.refused import Refused
from mura_batch.records import Reason

# How many times the model's longer side a reduced frame must have; docs/intake.md has the figures.
ENOUGH = {"jpeg2000": 1.5, "jpeg8": 1.75}


def decode_frame(stream: bytes, codec: str, layout: Layout, target: int) -> tuple[Stored, str, Grid]:
    """codec: a value of syntax.CODECS. target: pixels of the model input's longer side; 0 for the full resolution.

    Returns stored values, the decoder's name, and the grid that they lie on: ceil(Rows / reduction) high. Raises
    Refused.
    """
    if codec == "rle":
        return _rle(stream, layout), "imagecodecs:rle", WHOLE
    frame = frame_of(stream, codec)
    _refuse_lies(frame, codec, layout)
    reduction = _reduction(frame, codec, target)
    try:
        image, decoder = _decode(stream, codec, frame, reduction)
    except MemoryError:
        raise
    except Exception as error:
        # each codec has exceptions of its own; all of them mean the same here
        raise Refused(Reason.UNDECODABLE_PIXELS, f"{codec}: {type(error).__name__}: {str(error)[:120]}") from error
    expected = (-(-frame.rows // reduction), -(-frame.columns // reduction))
    if image.shape != expected:  # a decoder may return an empty array instead of an error
        raise Refused(Reason.UNDECODABLE_PIXELS, f"{codec} gave {image.shape}, not {expected}")
    if reduction == 1:
        return image, decoder, WHOLE
    # Low-pass samples of a wavelet sit on pixels (ISO/IEC 15444-1 F.3); those of a DCT are means of blocks.
    return image, decoder, Grid(reduction, 0.5 if codec == "jpeg2000" else reduction / 2)


def _refuse_lies(frame: Frame, codec: str, layout: Layout) -> None:
    if (frame.rows, frame.columns, frame.components) != (layout.rows, layout.columns, 1):
        told = f"{frame.rows} x {frame.columns} x {frame.components}, the header {layout.rows} x {layout.columns} x 1"
        raise Refused(Reason.PIXEL_SIZE_MISMATCH, f"the {codec} codestream says {told}")
    if not layout.bits_stored <= frame.bits <= layout.bits_allocated and frame.bits > 16:
        raise Refused(Reason.PIXEL_SIZE_MISMATCH, f"the {codec} codestream has {frame.bits} bits a sample")


def _reduction(frame: Frame, codec: str, target: int) -> int:
    """The largest power of two that leaves the longer side ENOUGH times the model's: the resize that follows still
    averages, so that the picture does not depend on the codec's own filter."""
    most = 1
    if codec == "jpeg2000" and 8 <= frame.bits <= 16 and not frame.signed:  # what Pillow hands on faithfully
        most = 2**frame.levels
    if codec == "jpeg8" and frame.bits == 8 and not frame.lossless_process:
        most = 8
    reduction, longer = 1, max(frame.rows, frame.columns)
    while reduction * 2 <= most and target and longer >= reduction * 2 * ENOUGH[codec] * target:
        reduction *= 2
    return reduction


def _decode(stream: bytes, codec: str, frame: Frame, reduction: int) -> tuple[Stored, str]:
    import imagecodecs

    if codec == "jpeg2000" and reduction > 1:
        return _jpeg_2000_reduced(stream, frame, reduction), "pillow:jpeg2000"
    if codec == "jpeg8" and reduction > 1:
        return _jpeg_reduced(stream, frame, reduction), "pillow:jpeg"
    if codec == "jpeg2000":
        return imagecodecs.jpeg2k_decode(stream), "imagecodecs:jpeg2000"
    if codec == "htj2k":
        return imagecodecs.htj2k_decode(stream), "imagecodecs:htj2k"
    if codec == "jpegls":
        return imagecodecs.jpegls_decode(stream), "imagecodecs:jpegls"
    return imagecodecs.jpeg8_decode(stream), "imagecodecs:jpeg"  # baseline, extended 12-bit and lossless


def _jpeg_2000_reduced(stream: bytes, frame: Frame, reduction: int) -> Stored:
    from PIL import Image

    with Image.open(io.BytesIO(stream)) as image:
        # Pillow rounds the reduced size to the nearest, the codec rounds up (ISO/IEC 15444-1 B-15): where they differ,
        # Pillow calls the stream broken. With a size that divides they agree.
        image._size = (-(-frame.columns // reduction) * reduction, -(-frame.rows // reduction) * reduction)
        image.reduce = reduction.bit_length() - 1  # type: ignore[method-assign, assignment]  # Pillow's own switch for it
        values = np.asarray(image)
    if values.dtype != np.uint8:
        # Pillow scales samples of fewer than 16 bits up to 16: undone, so that the tables see stored values.
        values = values.astype(np.uint16) >> (16 - frame.bits)
    return flattened(values, reduction, frame.bits) if frame.reversible else values


def _jpeg_reduced(stream: bytes, frame: Frame, reduction: int) -> Stored:
    from PIL import Image

    with Image.open(io.BytesIO(stream)) as image:
        # Rounded down: draft takes the largest scale whose picture is not smaller than asked for.
        image.draft("L", (max(frame.columns // reduction, 1), max(frame.rows // reduction, 1)))
        return np.asarray(image)


def _rle(stream: bytes, layout: Layout) -> Stored:
    """PS3.5 annex G: a header of 16 numbers, then one segment for each byte of a sample, most significant first."""
    if len(stream) < 64:
        raise Refused(Reason.UNDECODABLE_PIXELS, "no RLE header in the pixel data")
    header = np.frombuffer(stream, "<u4", 16)
    planes = layout.bits_allocated // 8
    if header[0] != planes:
        told = f"RLE header says {header[0]} segments, Bits Allocated needs {planes}"
        raise Refused(Reason.PIXEL_SIZE_MISMATCH, told)
    starts = list(map(int, header[1 : planes + 1]))
    pixels = layout.rows * layout.columns
    values: Stored | None = None
    for start, end in zip(starts, [*starts[1:], len(stream)], strict=True):
        if not 64 <= start < end <= len(stream):
            raise Refused(Reason.UNDECODABLE_PIXELS, "RLE segment offsets lie outside the frame")
        plane = _segment(stream[start:end], pixels)
        if values is None:
            values = plane
            continue
        values = np.left_shift(values, 8, dtype=np.uint16)
        values |= plane
    assert values is not None  # noqa: S101 - Bits Allocated is 8 or 16: there is a plane
    return values.reshape(layout.rows, layout.columns)


def _segment(packed: bytes, pixels: int) -> Stored:
    import imagecodecs

    if len(packed) * 64 < pixels:  # two bytes of PackBits give at most 128
        raise Refused(Reason.PIXEL_SIZE_MISMATCH, "an RLE segment is too short for Rows x Columns")
    try:
        plane = np.frombuffer(imagecodecs.packbits_decode(packed), np.uint8)
    except MemoryError:
        raise
    except Exception as error:  # imagecodecs' own exception types differ by version
        raise Refused(Reason.UNDECODABLE_PIXELS, f"rle: {type(error).__name__}") from error
    if not pixels <= len(plane) <= pixels + 1:  # a segment is padded to even length
        raise Refused(Reason.PIXEL_SIZE_MISMATCH, f"an RLE segment gives {len(plane)} bytes, Rows x Columns {pixels}")
    return plane[:pixels]
