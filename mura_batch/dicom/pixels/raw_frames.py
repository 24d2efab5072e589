"""Encapsulated frames without a codestream header: RLE, deflated and uncompressed. Their size is that of the header's
Rows x Columns or they are refused, before memory is taken for them."""

from __future__ import annotations

import zlib

import numpy as np

from mura_batch.dicom.header.byte_sources import zlib_header
from mura_batch.dicom.header.layout import Layout
from mura_batch.dicom.pixels.native import Stored
from mura_batch.dicom.refused import Refused
from mura_batch.records import Reason

_RLE_HEADER = 64  # bytes: the number of segments, and where 15 of them begin (PS3.5 G.5)
_PADDING = 64  # zeros behind the last pixel
_RUN = 128  # bytes that two bytes of PackBits give at most (G.3.1)


def uncompressed_frame(stream: bytes, layout: Layout) -> Stored:
    """PS3.5 A.4.11, Encapsulated Uncompressed: the bytes of native pixel data, little endian, padded to even length."""
    if not 0 <= len(stream) - layout.frame_bytes <= 1:
        detail = f"the frame has {len(stream)} bytes, Rows x Columns x Bits Allocated make {layout.frame_bytes}"
        raise Refused(Reason.PIXEL_SIZE_MISMATCH, detail)
    frame = np.frombuffer(stream, f"<u{layout.bits_allocated // 8}", layout.rows * layout.columns)
    return frame.reshape(layout.rows, layout.columns)


def deflated_frame(stream: bytes, layout: Layout) -> Stored:
    """Deflated Image Frame Compression: one stream of RFC 1951, which some writers put behind a zlib header. It is
    inflated to the size of the frame and two bytes beyond: what is longer is refused unread."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        raw = inflater.decompress(stream[zlib_header(stream) :], layout.frame_bytes + 2)
    except zlib.error as error:
        raise Refused(Reason.UNDECODABLE_PIXELS, f"deflate: {error}") from error
    if len(raw) < layout.frame_bytes and not inflater.eof:
        raise Refused(Reason.UNDECODABLE_PIXELS, "deflate: the stream ends too early")
    return uncompressed_frame(raw, layout)


def is_rle(stream: bytes, layout: Layout) -> bool:
    """Whether a frame begins with the header of as many RLE segments as a sample has bytes."""
    if len(stream) <= _RLE_HEADER:
        return False
    count, *starts = np.frombuffer(stream, "<u4", 16).tolist()
    used = starts[:count]
    planes = layout.bits_allocated // 8
    return count == planes and used[0] == _RLE_HEADER and used[-1] < len(stream) and not any(starts[count:])


def rle_frame(stream: bytes, layout: Layout) -> Stored:
    """PS3.5 annex G: a header of 16 numbers, then one segment for each byte of a sample, most significant first."""
    if len(stream) < _RLE_HEADER:
        raise Refused(Reason.UNDECODABLE_PIXELS, "no RLE header in the pixel data")
    header = np.frombuffer(stream, "<u4", 16)
    planes = layout.bits_allocated // 8
    if header[0] != planes:
        detail = f"RLE header says {header[0]} segments, Bits Allocated needs {planes}"
        raise Refused(Reason.PIXEL_SIZE_MISMATCH, detail)
    starts = list(map(int, header[1 : planes + 1]))
    values: Stored | None = None
    for start, end in zip(starts, [*starts[1:], len(stream)], strict=True):
        if not _RLE_HEADER <= start < end <= len(stream):
            raise Refused(Reason.UNDECODABLE_PIXELS, "RLE segment offsets lie outside the frame")
        plane = _segment(stream[start:end], layout.rows * layout.columns)
        if values is None:
            values = plane
            continue
        values = np.left_shift(values, 8, dtype=np.uint16)
        values |= plane
    assert values is not None  # noqa: S101 - Bits Allocated is 8 or 16: there is a plane
    return values.reshape(layout.rows, layout.columns)


def _segment(packed: bytes, pixels: int) -> Stored:
    import imagecodecs

    if len(packed) * _RUN // 2 < pixels:
        raise Refused(Reason.PIXEL_SIZE_MISMATCH, "an RLE segment is too short for Rows x Columns")
    try:
        plane = np.frombuffer(imagecodecs.packbits_decode(packed), np.uint8)
    except MemoryError:
        raise
    except Exception as error:  # imagecodecs' own exception types differ by version
        raise Refused(Reason.UNDECODABLE_PIXELS, f"rle: {type(error).__name__}") from error
    # A segment is padded to even length, some writers' last one with more zeros.
    padded = plane[pixels + 1 :]
    if len(plane) < pixels or len(padded) > _PADDING or padded.any():
        raise Refused(Reason.PIXEL_SIZE_MISMATCH, f"an RLE segment gives {len(plane)} bytes, Rows x Columns {pixels}")
    return plane[:pixels]
