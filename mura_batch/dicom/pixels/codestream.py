"""The header of a compressed frame, read before any decoder sees the frame: its codec, size and precision."""

from __future__ import annotations

from mura_batch.dicom.pixels.frame_header import MAX_BOXES, FrameHeader
from mura_batch.dicom.pixels.jpeg_xl import BARE, CONTAINER, jpeg_xl_header
from mura_batch.dicom.refused import Refused
from mura_batch.records import Reason

_SOI = b"\xff\xd8\xff"  # how a JPEG or JPEG-LS stream begins (ISO/IEC 10918-1 B.2.1), with the next marker
_SOC_SIZ = b"\xff\x4f\xff\x51"  # how a JPEG 2000 codestream begins (ISO/IEC 15444-1 A.4.1, A.5.1)
_JP2 = b"\0\0\0\x0cjP  \r\n\x87\n"  # the file format around it, which PS3.5 A.4.4 does not allow and exports write
_SOT, _END = b"\xff\x90", b"\xff\xd9"
_SOT_BYTES = 14  # of the header of a tile-part, with the marker that begins its data
_HIGH_THROUGHPUT = 0x4000  # bit of Rsiz: a codestream of ISO/IEC 15444-15
_NOT_SOF = frozenset({0xC4, 0xC8, 0xCC})  # DHT, JPG, DAC: among the SOF markers (ISO/IEC 10918-1 table B.1)
_SOF_LOSSLESS, _SOF_JPEG_LS = 0xC3, 0xF7
MAX_TILES = 65_535  # of a codestream (ISO/IEC 15444-1 A.4.2: Isot has 16 bits); each costs a decoder memory


def has_signature(data: bytes) -> bool:
    """Whether a frame begins as a JPEG, JPEG-LS, JPEG 2000 or JPEG XL one. Not so two bytes of bare JPEG XL: pixels may
    begin with them."""
    return data.startswith((_SOI, _SOC_SIZ, _JP2, CONTAINER))


def frame_header(data: bytes, codec: str) -> FrameHeader:
    """Goes by the first bytes. codec: that of the transfer syntax, for the message. Raises
    Refused(UNDECODABLE_PIXELS) where no codec begins so, or the header cannot be read."""
    try:
        if data.startswith(_SOI):
            return _jpeg(data)
        if data.startswith((_SOC_SIZ, _JP2)):
            return _jpeg_2000(data)
        if data.startswith((BARE, CONTAINER)):
            return jpeg_xl_header(data)
    except (IndexError, ValueError) as error:
        raise Refused(Reason.UNDECODABLE_PIXELS, f"the header of the frame cannot be read: {error}") from error
    raise Refused(Reason.UNDECODABLE_PIXELS, f"no {codec} frame header in the pixel data")


def has_end_marker(data: bytes) -> bool:
    """Whether a JPEG, JPEG-LS or JPEG 2000 stream has its end marker (EOI, EOC; both FF D9). Inside coded data the two
    bytes cannot follow each other; in segments they can, but those lie in the first half."""
    return data.rfind(_END, len(data) // 2) >= 0


def end_of_tile_parts(data: bytes, start: int) -> int:
    """Behind the last tile-part of a JPEG 2000 codestream that begins at `start`, by the lengths that they claim
    (ISO/IEC 15444-1 A.4.2, Psot). Beyond the data where they are cut short."""
    beyond, at = len(data) + 1, start + 2
    while data[at : at + 2] != _SOT:  # the segments of the main header
        if at + 4 > len(data):
            return beyond
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    while data[at : at + 2] == _SOT:
        length = int.from_bytes(data[at + 6 : at + 10], "big")
        if length == 0:  # the last one: up to the end marker
            end = data.rfind(_END, at)
            return end if end >= 0 else beyond
        if length < _SOT_BYTES:
            return beyond
        at += length
    return at


def _jpeg_2000(data: bytes) -> FrameHeader:
    """ISO/IEC 15444-1 A.5.1 (SIZ) and A.6.1 (COD)."""
    start = _codestream(data)
    siz = data[start + 4 : start + 4 + 41]
    x, y, x0, y0, tile_x, tile_y = (int.from_bytes(siz[n : n + 4], "big") for n in (4, 8, 12, 16, 20, 24))
    components, depth = int.from_bytes(siz[36:38], "big"), siz[38]
    if not (x - x0 > 0 and y - y0 > 0 and tile_x and tile_y and -(-x // tile_x) * -(-y // tile_y) <= MAX_TILES):
        raise ValueError("an impossible size")
    at = start + 4 + int.from_bytes(siz[:2], "big")
    while data[at : at + 2] != b"\xff\x52":  # COD, somewhere before the first tile
        if data[at] != 0xFF or data[at : at + 2] == _SOT:
            raise ValueError("no COD segment")
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return FrameHeader(
        codec="htj2k" if int.from_bytes(siz[2:4], "big") & _HIGH_THROUGHPUT else "jpeg 2000",
        rows=y - y0,
        columns=x - x0,
        components=components,
        bits=(depth & 0x7F) + 1,
        signed=bool(depth & 0x80),
        levels=min(data[at + 9], 32),
        reversible=data[at + 13] == 1,  # table A.20
        start=start,
    )


def _codestream(data: bytes) -> int:
    """Where the codestream starts; the boxes of a JP2 file (ISO/IEC 15444-1 I.4) are stepped over, not searched."""
    at = 0
    if data.startswith(_JP2):
        for _ in range(MAX_BOXES):
            length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
            if kind == b"jp2c":
                at += 16 if length == 1 else 8
                break
            if length < 8:
                raise ValueError("no codestream box")
            at += length
    if data[at : at + 4] != _SOC_SIZ:
        raise ValueError("no codestream")
    return at


def _jpeg(data: bytes) -> FrameHeader:
    """ISO/IEC 10918-1 B.2.2 (SOFn) and ISO/IEC 14495-1 C.2.2 (SOF55)."""
    at = 2
    while True:
        if data[at] != 0xFF:
            raise ValueError("no marker")
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if (0xC0 <= marker <= 0xCF and marker not in _NOT_SOF) or marker == _SOF_JPEG_LS:
            codec = {_SOF_LOSSLESS: "jpeg lossless", _SOF_JPEG_LS: "jpeg-ls"}.get(marker, "jpeg")
            rows, columns = int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
            return FrameHeader(codec, rows, columns, data[at + 9], data[at + 4])
        if length < 2:
            raise ValueError("a segment without a length")
        at += 2 + length
