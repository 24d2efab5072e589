"""What a compressed frame says of itself, read before any decoder sees it: a header that lies ends here."""

from __future__ import annotations

from dataclasses import dataclass

from mura_batch.dicom.refused import Refused
from mura_batch.records import Reason

_SOC_SIZ = b"\xff\x4f\xff\x51"  # how a JPEG 2000 codestream begins (ISO/IEC 15444-1 A.4.1, A.5.1)
_JP2 = b"\0\0\0\x0cjP  \r\n\x87\n"  # the file format around it, which PS3.5 A.4.4 does not allow and exports write
_NOT_SOF = frozenset(
    {0xC4, 0xC8, 0xCC}
)  # DHT, JPG and DAC stand among the start-of-frame markers (ISO/IEC 10918-1 B.1)
MAX_TILES = 65_535  # what a codestream may have (ISO/IEC 15444-1 A.4.2: Isot has 16 bits); each costs a decoder memory


@dataclass(frozen=True, slots=True)
class Frame:
    """levels: wavelet decompositions of a JPEG 2000 frame, how often it can be halved; 0 for other codecs. reversible:
    by the 5/3 wavelet, not the 9/7. lossless_process: a JPEG of process 14 (SOF3)."""

    rows: int
    columns: int
    components: int
    bits: int
    signed: bool = False
    levels: int = 0
    reversible: bool = False
    lossless_process: bool = False


def frame_of(data: bytes, codec: str) -> Frame:
    """codec: a value of syntax.CODECS but 'rle'. Raises Refused(UNDECODABLE_PIXELS) where there is no such frame."""
    try:
        return _jpeg_2000(data) if codec in {"jpeg2000", "htj2k"} else _jpeg(data)
    except (IndexError, ValueError) as error:
        raise Refused(Reason.UNDECODABLE_PIXELS, f"no {codec} frame header in the pixel data") from error


def _jpeg_2000(data: bytes) -> Frame:
    """ISO/IEC 15444-1 A.5.1 (SIZ) and A.6.1 (COD)."""
    start = _codestream(data)
    siz = data[start + 4 : start + 4 + 41]
    x, y, x0, y0, tile_x, tile_y = (int.from_bytes(siz[n : n + 4], "big") for n in (4, 8, 12, 16, 20, 24))
    components, depth = int.from_bytes(siz[36:38], "big"), siz[38]
    if not (x - x0 > 0 and y - y0 > 0 and tile_x and tile_y and -(-x // tile_x) * -(-y // tile_y) <= MAX_TILES):
        raise ValueError("an impossible size")
    at = start + 4 + int.from_bytes(siz[:2], "big")
    while data[at : at + 2] != b"\xff\x52":  # COD, somewhere before the first tile
        if data[at] != 0xFF or data[at : at + 2] == b"\xff\x90":
            raise ValueError("no COD")
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    levels, reversible = min(data[at + 9], 32), data[at + 13] == 1  # table A.20
    return Frame(y - y0, x - x0, components, (depth & 0x7F) + 1, bool(depth & 0x80), levels, reversible)


def _codestream(data: bytes) -> int:
    """Where the codestream starts; the boxes of a JP2 file (ISO/IEC 15444-1 I.4) are stepped over, not searched."""
    at = 0
    if data.startswith(_JP2):
        for _ in range(64):
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


def _jpeg(data: bytes) -> Frame:
    """ISO/IEC 10918-1 B.2.2 (SOFn) and ISO/IEC 14495-1 C.2.2 (SOF55)."""
    if data[:2] != b"\xff\xd8":
        raise ValueError("no SOI")
    at = 2
    while True:
        if data[at] != 0xFF:
            raise ValueError("no marker")
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if (0xC0 <= marker <= 0xCF and marker not in _NOT_SOF) or marker == 0xF7:
            rows, columns = int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
            return Frame(rows, columns, data[at + 9], data[at + 4], lossless_process=marker == 0xC3)
        if length < 2:
            raise ValueError("no length")
        at += 2 + length
