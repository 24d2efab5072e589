"""A compressed frame -> stored values: which decoder, at which resolution. Runs in a worker process that may die.

JPEG 2000 is decoded at the resolution level, baseline JPEG at the DCT scale just above what the model needs; the rest
whole. The frame's first bytes decide on the codec; a transfer syntax that names another one is flagged.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mura_batch.dicom.header.layout import Layout
from mura_batch.dicom.pixels.codestream import end_of_tile_parts, frame_header, has_end_marker, has_signature
from mura_batch.dicom.pixels.encapsulation import Encapsulated
from mura_batch.dicom.pixels.frame_header import FrameHeader
from mura_batch.dicom.pixels.grid import WHOLE, Grid, remove_wavelet_gain
from mura_batch.dicom.pixels.native import Stored
from mura_batch.dicom.pixels.raw_frames import deflated_frame, is_rle, rle_frame, uncompressed_frame
from mura_batch.dicom.refused import Refused
from mura_batch.records import Reason

# How many times the model's longer side a reduced frame must have; docs/intake.md has the figures.
MIN_OVERSAMPLING = {"jpeg 2000": 1.5, "jpeg": 1.75}
_END_MARKER = b"\xff\xd9"  # EOI and EOC
_ENDED = frozenset({"jpeg", "jpeg lossless", "jpeg-ls", "jpeg 2000", "htj2k"})  # codecs whose streams have one
_FILLED_IN = frozenset({"jpeg", "jpeg lossless"})  # codecs whose decoder fills in rows that are missing
# By codec, for frames that have no header of their own: how they are read, and by what.
_RAW: dict[str, tuple[Callable[[bytes, Layout], Stored], str]] = {
    "rle": (rle_frame, "imagecodecs:rle"),
    "deflate": (deflated_frame, "zlib:deflate"),
    "uncompressed": (uncompressed_frame, "native"),
}


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """stored: on the grid, ceil(Rows / reduction) high. has_high_bit: whether samples lie as High Bit (0028,0102) says;
    those of a codestream are the stored values themselves."""

    stored: Stored
    decoder: str
    grid: Grid = WHOLE
    has_high_bit: bool = False
    flags: tuple[str, ...] = ()


def decode_frame(frame: Encapsulated, codec: str, layout: Layout, target: int) -> DecodedFrame:
    """codec: that of the transfer syntax (syntax.CODECS), '' for one of native pixel data, the UID of one that is not
    known. target: pixels of the model input's longer side; 0 for the full resolution. Raises Refused."""
    if raw := _raw_codec(frame.stream, codec, layout):
        read, decoder = _RAW[raw]
        flags = (*frame.flags, *_another_codec(raw, codec))
        return DecodedFrame(read(frame.stream, layout), decoder, has_high_bit=True, flags=flags)
    header = frame_header(frame.stream, codec)
    _check_size(header, layout)
    stream, flags = _with_end_marker(frame, header)
    flags = (*flags, *_another_codec(header.codec, codec))
    # A frame without its end marker is decoded whole: whether it is complete shows at full resolution.
    reduction = _reduction(header, target if stream is frame.stream else 0)
    stored, decoder = _decoded(stream, header, reduction)
    expected = (-(-header.rows // reduction), -(-header.columns // reduction))
    if stored.shape != expected:  # a decoder may return an empty array instead of an error
        raise Refused(Reason.UNDECODABLE_PIXELS, f"{header.codec} gave {stored.shape}, not {expected}")
    # Low-pass samples of a wavelet sit on pixels (ISO/IEC 15444-1 F.3); those of a DCT are means of blocks.
    first = 0.5 if header.codec == "jpeg 2000" else reduction / 2
    grid = WHOLE if reduction == 1 else Grid(reduction, first)
    return DecodedFrame(stored, decoder, grid, flags=(*frame.flags, *flags))


def _raw_codec(stream: bytes, codec: str, layout: Layout) -> str:
    """Of a frame without a header of its own: that of the transfer syntax, or what the frame looks like; '' for a
    codestream."""
    if codec in _RAW:
        return codec if len(stream) == layout.frame_bytes or not has_signature(stream) else ""
    if is_rle(stream, layout):
        return "rle"
    return "uncompressed" if len(stream) == layout.frame_bytes and not has_signature(stream) else ""


def _another_codec(found: str, codec: str) -> tuple[str, ...]:
    return () if found == codec else (f"the codestream is {found}, the Transfer Syntax says {codec or 'native'}",)


def _check_size(header: FrameHeader, layout: Layout) -> None:
    if (header.rows, header.columns, header.components) != (layout.rows, layout.columns, 1):
        its, ours = f"{header.rows} x {header.columns} x {header.components}", f"{layout.rows} x {layout.columns} x 1"
        raise Refused(Reason.PIXEL_SIZE_MISMATCH, f"the {header.codec} codestream says {its}, the header {ours}")
    if header.bits > 16:
        raise Refused(Reason.PIXEL_SIZE_MISMATCH, f"the {header.codec} codestream has {header.bits} bits a sample")


def _with_end_marker(frame: Encapsulated, header: FrameHeader) -> tuple[bytes, tuple[str, ...]]:
    """The codestream with the end marker that some encoders leave out, and the flag for it. Raises Refused on one that
    is cut short: OpenJPH and libjpeg fill in what is missing without an error."""
    stream = frame.stream
    if header.codec == "htj2k" and end_of_tile_parts(stream, header.start) > len(stream):
        raise _cut_short(frame, "the htj2k codestream ends inside a tile-part")
    if header.codec not in _ENDED or has_end_marker(stream):
        return stream, ()
    if header.codec == "jpeg 2000":  # its fragment may be padded, and the marker must follow at once
        stream = stream[: end_of_tile_parts(stream, header.start)]
    if header.codec in _FILLED_IN and not _is_complete(stream):
        raise _cut_short(frame, f"the {header.codec} codestream ends before its last row")
    return stream + _END_MARKER, (f"the {header.codec} codestream has no end marker",)


def _cut_short(frame: Encapsulated, detail: str) -> Refused:
    """Of the file where no Sequence Delimitation Item follows, else of the codestream alone."""
    return Refused(Reason.UNDECODABLE_PIXELS if frame.delimited else Reason.TRUNCATED, detail)


def _is_complete(stream: bytes) -> bool:
    """Whether a JPEG stream without its end marker holds the whole picture: then what is put behind it is not read.
    Where something is missing, libjpeg takes those bytes for coded data, and two kinds give two pictures."""
    import imagecodecs

    tails = (bytes(64), b"\x55" * 64)
    try:
        first, second = (imagecodecs.jpeg8_decode(stream + tail + _END_MARKER) for tail in tails)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - a codec's own exceptions share no base
        return False
    return np.array_equal(first, second)


def _reduction(header: FrameHeader, target: int) -> int:
    """The largest power of two that leaves the longer side MIN_OVERSAMPLING times the model's: the resize that follows
    still averages, so that the picture does not depend on the codec's own filter."""
    most = 1
    if header.codec == "jpeg 2000" and 8 <= header.bits <= 16 and not header.signed:  # what Pillow reads faithfully
        most = 2**header.levels
    if header.codec == "jpeg" and header.bits == 8:
        most = 8
    reduction, longer = 1, max(header.rows, header.columns)
    while reduction * 2 <= most and target and longer >= reduction * 2 * MIN_OVERSAMPLING[header.codec] * target:
        reduction *= 2
    return reduction


def _decoded(stream: bytes, header: FrameHeader, reduction: int) -> tuple[Stored, str]:
    """Stored values, and the decoder's name."""
    try:
        if header.codec == "jpeg 2000" and reduction > 1:
            return _jpeg_2000_reduced(stream, header, reduction), "pillow:jpeg2000"
        if header.codec == "jpeg" and reduction > 1:
            return _jpeg_reduced(stream, header, reduction), "pillow:jpeg"
        return _whole(stream, header)
    except MemoryError:
        raise
    except Exception as error:
        # each codec has exceptions of its own; all of them mean the same
        detail = f"{header.codec}: {type(error).__name__}: {str(error)[:120]}"
        raise Refused(Reason.UNDECODABLE_PIXELS, detail) from error


def _whole(stream: bytes, header: FrameHeader) -> tuple[Stored, str]:
    import imagecodecs

    match header.codec:
        case "jpeg 2000":
            return imagecodecs.jpeg2k_decode(stream), "imagecodecs:jpeg2000"
        case "htj2k":  # its decoder reads no file format
            return imagecodecs.htj2k_decode(stream[header.start :]), "imagecodecs:htj2k"
        case "jpeg-ls":
            return imagecodecs.jpegls_decode(stream), "imagecodecs:jpegls"
        case "jpeg xl":
            return imagecodecs.jpegxl_decode(stream, numthreads=1), "imagecodecs:jpegxl"
        case _:
            return imagecodecs.jpeg8_decode(stream), "imagecodecs:jpeg"  # baseline, extended 12-bit and lossless


def _jpeg_2000_reduced(stream: bytes, header: FrameHeader, reduction: int) -> Stored:
    from PIL import Image

    with Image.open(io.BytesIO(stream)) as image:
        # Pillow rounds the reduced size to the nearest, the codec rounds up (ISO/IEC 15444-1 B-15): where they differ,
        # Pillow calls the stream broken. With a size that divides they agree.
        image._size = (-(-header.columns // reduction) * reduction, -(-header.rows // reduction) * reduction)
        image.reduce = reduction.bit_length() - 1  # type: ignore[method-assign, assignment]  # Pillow's own switch for it
        values = np.asarray(image)
    if values.dtype != np.uint8:
        # Pillow scales samples of fewer than 16 bits up to 16: undone, so that the tables see stored values.
        values = values.astype(np.uint16) >> (16 - header.bits)
    return remove_wavelet_gain(values, reduction, header.bits) if header.reversible else values


def _jpeg_reduced(stream: bytes, header: FrameHeader, reduction: int) -> Stored:
    from PIL import Image

    with Image.open(io.BytesIO(stream)) as image:
        # Rounded down: draft takes the largest scale whose picture is not smaller than asked for.
        image.draft("L", (max(header.columns // reduction, 1), max(header.rows // reduction, 1)))
        return np.asarray(image)
