"""Frames that no library needs to decode: native pixel data, and the fragments of encapsulated ones."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mura_batch.dicom.header.byte_sources import Bytes, MemoryBytes
from mura_batch.dicom.header.elements import ends_inside
from mura_batch.dicom.header.layout import Layout
from mura_batch.dicom.header.parse import Header
from mura_batch.dicom.refused import Refused, truncated
from mura_batch.dicom.syntax import EXPLICIT_BE
from mura_batch.records import Reason

Patterns = NDArray[np.unsignedinteger[Any]]
Stored = NDArray[Any]  # [H, W] of an integer type, as the file or the codec gives it
_ITEM = b"\xfe\xff\x00\xe0"  # (FFFE,E000), always little endian where pixel data are encapsulated (PS3.5 A.4)


def native_frame(header: Header, layout: Layout) -> Stored:
    """[H, W] without a copy where the data are in memory."""
    length = layout.frame_bytes + layout.frame_bytes % 2  # padded to even length (PS3.5 8.1.1)
    at = header.elements.end
    body: bytes | memoryview
    body = header.body.view(at, length) if isinstance(header.body, MemoryBytes) else header.body.read(at, length)
    if len(body) < layout.frame_bytes:
        raise ends_inside(header.body, at, "Pixel Data (7FE0,0010)")
    if header.syntax == EXPLICIT_BE and (layout.bits_allocated == 16 or header.elements.pixel_vr == b"OW"):
        body = (
            np.frombuffer(body, "<u2").byteswap().tobytes()
        )  # a row of words, also where each holds two samples (A.3)
    pixels = layout.rows * layout.columns
    frame = np.frombuffer(body, f"<u{layout.bits_allocated // 8}", pixels)
    return frame.reshape(layout.rows, layout.columns)


def fragments(body: Bytes, at: int) -> bytes:
    """The codestream of a single-frame image: all its fragments but the Basic Offset Table (PS3.5 A.4)."""
    parts: list[bytes] = []
    first = True
    while (head := body.read(at, 8))[:4] == _ITEM:
        length = int.from_bytes(head[4:8], "little")
        if at + 8 + length > body.size:
            raise truncated("a fragment of Pixel Data (7FE0,0010)")
        if not first:
            parts.append(body.read(at + 8, length))
        at, first = at + 8 + length, False
    if len(head) < 8:
        raise truncated("Pixel Data (7FE0,0010): the sequence of fragments has no end")
    if not any(parts):
        raise Refused(Reason.UNDECODABLE_PIXELS, "encapsulated Pixel Data without a fragment")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def bit_patterns(stored: Stored) -> Patterns:
    """The samples as they lie in memory, without a copy. Raises Refused on what no decoder should give."""
    if stored.dtype.kind not in "iu" or stored.dtype.itemsize > 2:
        raise Refused(Reason.UNDECODABLE_PIXELS, f"the decoder gave {stored.dtype}")
    return stored.view(stored.dtype.str.replace("i", "u"))


def shift_of(layout: Layout, shifted: bool) -> int:
    """How many bits of a sample lie below its stored value. shifted: whether High Bit (0028,0102) tells; in a
    codestream there are none."""
    return layout.high_bit + 1 - layout.bits_stored if shifted else 0


@lru_cache(maxsize=8)  # the radiographs of one device are alike in this
def field_of(pattern: np.dtype[Any], bits: int, shift: int) -> Patterns | None:
    """[256] or [65536] bit pattern of a sample -> the `bits` bits of its stored value, without those below it and
    those above High Bit (overlays, garbage); None where they are all there is."""
    size = 8 * pattern.itemsize
    if bits >= size and not shift:
        return None
    field = ((np.arange(1 << size) >> shift) & ((1 << bits) - 1)).astype(pattern)
    field.flags.writeable = False
    return field
