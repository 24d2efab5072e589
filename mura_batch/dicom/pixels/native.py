"""Native pixel data: a frame read in place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mura_batch.dicom.header.byte_sources import MemoryBytes
from mura_batch.dicom.header.endings import ends_inside
from mura_batch.dicom.header.layout import Layout
from mura_batch.dicom.header.parse import Header
from mura_batch.dicom.refused import Refused
from mura_batch.dicom.syntax import EXPLICIT_BE
from mura_batch.records import Reason

Patterns = NDArray[np.unsignedinteger[Any]]
Stored = NDArray[Any]  # [H, W] of an integer type, as the file or the codec gives it


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


def bit_patterns(stored: Stored) -> Patterns:
    """The samples as they lie in memory, without a copy. Raises Refused on what no decoder should give."""
    if stored.dtype.kind not in "iu" or stored.dtype.itemsize > 2:
        raise Refused(Reason.UNDECODABLE_PIXELS, f"the decoder gave {stored.dtype}")
    return stored.view(stored.dtype.str.replace("i", "u"))
