"""How elements are written (PS3.5 chapter 7): with or without their VR, in which byte order; the VRs, and the tags that
give a data set its structure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from struct import Struct

UNDEFINED = 0xFFFFFFFF  # a length that only a delimiter tells (PS3.5 7.1.1)
PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})  # Float, Double Float, and Pixel Data
DELIMITERS = 0xFFFE  # the group of these; they have no VR
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
# PS3.5 7.1.2: these have a length of 16 bits; all others, and all that will be invented, one of 32.
SHORT_VRS = frozenset({
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
    b"ST", b"TM", b"UI", b"UL", b"US",
})  # fmt: skip
LONG_VRS = frozenset({
    b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV",
})  # fmt: skip
VRS = SHORT_VRS | LONG_VRS
# By byte order, big or not: a tag, a VR and a length of 16 bits; such a length alone; a length of 32 bits.
HEADS = {big: Struct(f"{'>' if big else '<'}HH2sH") for big in (False, True)}
WIRE_HEADS = {big: Struct(f"{'>' if big else '<'}L2sH") for big in (False, True)}  # the tag as one number, see wire_tag
SHORTS = {big: Struct(f"{'>' if big else '<'}H") for big in (False, True)}
LENGTHS = {big: Struct(f"{'>' if big else '<'}L") for big in (False, True)}


@dataclass(frozen=True, slots=True)
class Form:
    """How elements are written: with or without their VR, and the byte order."""

    implicit: bool
    big: bool = False


EXPLICIT = Form(implicit=False)
IMPLICIT = Form(implicit=True)

Wanted = dict[bool, Mapping[int, int]]  # by byte order, big or not: the wire tags that a scan keeps, and their tags


def wire_tag(tag: int, big: bool) -> int:
    """The tag as WIRE_HEADS reads it, and back: in little endian its halves have changed places."""
    return tag if big else (tag & 0xFFFF) << 16 | tag >> 16


def wanted(tags: Iterable[int]) -> Wanted:
    return {big: {wire_tag(tag, big): tag for tag in tags} for big in (False, True)}


WIRE_PIXEL_TAGS = {big: frozenset(wire_tag(tag, big) for tag in PIXEL_TAGS) for big in (False, True)}


def words(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
