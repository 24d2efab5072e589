"""Encapsulated Pixel Data -> the codestream of its one frame (PS3.5 A.4)."""

from __future__ import annotations

from dataclasses import dataclass

from mura_batch.dicom.header.byte_sources import Bytes
from mura_batch.dicom.refused import Refused, truncated
from mura_batch.records import Reason

_ITEM = b"\xfe\xff\x00\xe0"  # (FFFE,E000), always little endian where pixel data are encapsulated
_DELIMITER = b"\xfe\xff\xdd\xe0"  # (FFFE,E0DD)
_OFFSET_TABLES = frozenset({0, 4})  # bytes of a Basic Offset Table of one frame


@dataclass(frozen=True, slots=True)
class Encapsulated:
    """delimited: whether a Sequence Delimitation Item follows; without one the codestream itself has to show that it
    is whole."""

    stream: bytes
    delimited: bool
    flags: tuple[str, ...]


def read_fragments(body: Bytes, at: int) -> Encapsulated:
    """All fragments of a single-frame image. Raises Refused(TRUNCATED) where the file ends inside one of them."""
    parts: list[bytes] = []
    while (head := body.read(at, 8))[:4] == _ITEM and len(head) == 8:
        length = int.from_bytes(head[4:8], "little")
        if at + 8 + length > body.size:
            raise truncated("a fragment of Pixel Data (7FE0,0010)")
        parts.append(body.read(at + 8, length))
        at += 8 + length
    flags: list[str] = []
    delimited = head[:4] == _DELIMITER
    if not delimited:
        flags.append("Pixel Data ends without a Sequence Delimitation Item (FFFE,E0DD)")
    if parts and _is_offset_table(parts):
        parts = parts[1:]
    elif parts:
        flags.append("Pixel Data has no Basic Offset Table")
    if not any(parts):
        raise Refused(Reason.UNDECODABLE_PIXELS, "encapsulated Pixel Data without a fragment")
    return Encapsulated(parts[0] if len(parts) == 1 else b"".join(parts), delimited, tuple(flags))


def _is_offset_table(parts: list[bytes]) -> bool:
    """The first item is the table (A.4); some writers leave it out and begin with the codestream. The first offset of a
    table is 0, and no codestream begins with four zeros."""
    first = parts[0]
    return len(first) in _OFFSET_TABLES or (len(parts) > 1 and len(first) % 4 == 0 and first.startswith(bytes(4)))
