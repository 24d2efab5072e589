"""Where data end: as they should, cut short, or inside an element whose length is damaged."""

from __future__ import annotations

import re

from mura_batch.dicom.header.byte_sources import Bytes
from mura_batch.dicom.header.forms import UNDEFINED
from mura_batch.dicom.refused import Refused, damaged, truncated

# Pixel Data in explicit (12 bytes) and implicit form (8 bytes), with its length.
_PIXEL_DATA = re.compile(rb"\xe0\x7f\x10\x00(?:O[BW]\0\0(.{4})|(.{4}))", re.DOTALL)
_SEARCHED = 1 << 20  # bytes at once


def ends_here(source: Bytes, at: int, rest: bytes) -> bool:
    """Whether the data end here as they should. Zeros behind the last element are padding of the medium."""
    if at > source.size:
        raise ends_inside(source, at, "its last element")
    if len(rest) < 8:
        if rest.strip(b"\0"):
            raise ends_inside(source, at, "the header of an element")
        return True
    return False


def ends_inside(source: Bytes, at: int, where: str) -> Refused:
    """Why the data end inside an element whose value starts at `at`: a file that was cut short, or, where its last byte
    is there all the same, a damaged length."""
    if source.is_whole or _pixels_end_the_file(source, at):
        return damaged(f"{where} claims more bytes than there are, and the file is not cut short")
    return truncated(where)


def _pixels_end_the_file(source: Bytes, at: int) -> bool:
    """Whether Pixel Data that reach to the last byte of the data begin somewhere behind `at`."""
    tail = source.read(max(source.size - 16, 0), 16).rstrip(b"\0")
    for start in range(at, source.size, _SEARCHED):
        part = source.read(start, min(_SEARCHED + 16, source.size - start))  # memory for what is there, no more
        for found in _PIXEL_DATA.finditer(part):
            length = int.from_bytes(found[1] or found[2], "little")
            if length == UNDEFINED and tail.endswith(b"\xfe\xff\xdd\xe0"):
                return True
            if 0 <= source.size - (start + found.end() + length) <= 2:
                return True
    return False
