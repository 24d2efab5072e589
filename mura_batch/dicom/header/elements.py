"""A data set as raw elements (PS3.5 chapter 7): which tag, which VR, which bytes; nothing is converted.

Written for the header scan: values that nobody asked for are stepped over, sequences are walked without recursion, and
the number of elements, the depth and the length of what is kept are bounded, so that no file can slow or fool a scan.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from struct import Struct

from mura_batch.dicom.header.byte_sources import Bytes, MemoryBytes
from mura_batch.dicom.refused import damaged, truncated

UNDEFINED = 0xFFFFFFFF  # a length that only a delimiter tells (PS3.5 7.1.1)
PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})  # Float, Double Float, and Pixel Data
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
MAX_ELEMENTS = 50_000  # of one header; honest ones have 50 to 500
MAX_DEPTH = 128  # of nested sequences; structured reports, the deepest honest objects, reach about 20
MAX_VALUE = 16 << 20  # bytes of a value that is kept; the largest honest one is a lookup table of 128 kB
# PS3.5 7.1.2: these have a length of 16 bits; all others, and all that will be invented, one of 32.
_SHORT = frozenset({
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
    b"ST", b"TM", b"UI", b"UL", b"US",
})  # fmt: skip
_LONG = frozenset({
    b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV",
})  # fmt: skip
VRS = _SHORT | _LONG
_NONE: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class Form:
    """How elements are written: with or without their VR, and the byte order."""

    implicit: bool
    big: bool = False


EXPLICIT = Form(implicit=False)
IMPLICIT = Form(implicit=True)
_HEADS = {big: Struct(f"{'>' if big else '<'}HH2sH") for big in (False, True)}
_LENGTHS = {big: Struct(f"{'>' if big else '<'}L") for big in (False, True)}


@dataclass(slots=True)
class Elements:
    """values: tag -> (VR or b'' in implicit form, bytes). end: where the scan stopped: behind the header of Pixel Data
    where there is one, and then pixel_tag and pixel_bytes say which, of which VR, and how long it claims to be."""

    form: Form
    values: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    end: int = 0
    pixel_tag: int = 0
    pixel_vr: bytes = b""
    pixel_bytes: int | None = None


def scan(source: Bytes, at: int, form: Form, wanted: Container[int], last_group: int = 0xFFFF) -> Elements:
    """From position `at` up to Pixel Data or the end of the data, or up to the first element beyond last_group.

    Raises Refused: TRUNCATED where the data end inside an element, DAMAGED_HEADER where a bound is broken.
    """
    found = Elements(form)
    values, head, short = found.values, _HEADS[form.big].unpack_from, _NONE if form.implicit else _SHORT
    buffer, base, here = source.chunk(at), at, 0
    size = len(buffer)
    for _ in range(MAX_ELEMENTS):  # its body runs a hundred times a file: what is rare stands in functions
        if here + 12 > size:
            base, here = base + here, 0
            buffer = source.chunk(base)
            size = len(buffer)
            if size < 12 and _ends(source, base, buffer):
                break
        g, e, vr, length = head(buffer, here)
        if g > last_group:
            break
        tag = g << 16 | e
        if vr in short:
            start = here + 8
        else:
            vr, start, length = _long(buffer, here, vr, form)
            if tag in PIXEL_TAGS:
                found.pixel_tag, found.pixel_vr, found.pixel_bytes, here = tag, vr, length, start
                break
            if length > 8 * MAX_DEPTH:
                length = _measured(source, base + start, length, vr, form)
        end = start + length
        if end > size and base + end > source.size:
            raise truncated(f"element {words(tag)}")
        if tag in wanted:
            values[tag] = vr, buffer[start:end] if end <= size else _kept(source, base + start, length, tag)
        here = end
    else:
        raise damaged(f"more than {MAX_ELEMENTS} elements")
    found.end = base + here
    return found


def items(value: bytes, form: Form) -> Iterator[Elements]:
    """The items of a sequence's value, each as elements; what is damaged ends them."""
    source, at = MemoryBytes(value), 0
    while at + 8 <= len(value):
        tag, _, start, length = _head(source, at, form)
        if tag != ITEM:
            return
        end = _walk(source, start, None, form, inside_item=True) if length == UNDEFINED else start + length
        yield scan(MemoryBytes(value[start:end]), 0, form, _EVERY)
        at = end


class _Every:
    """All tags but the delimiters."""

    def __contains__(self, tag: object) -> bool:
        return tag not in {ITEM, ITEM_END, SEQUENCE_END}


_EVERY = _Every()


def words(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _ends(source: Bytes, at: int, rest: bytes) -> bool:
    """Whether the data end here as they should. Zeros behind the last element are padding of the medium."""
    if at > source.size:
        raise truncated("its last element")
    if len(rest) < 8:
        if rest.strip(b"\0"):
            raise truncated("the header of an element")
        return True
    return False


def _is_vr(vr: bytes) -> bool:
    return vr in _LONG or (len(vr) == 2 and vr.isalpha() and vr.isupper())


def _long(buffer: bytes, here: int, vr: bytes, form: Form) -> tuple[bytes, int, int]:
    """(VR, start, length) of an element with a length of 32 bits."""
    length32 = _LENGTHS[form.big].unpack_from
    if form.implicit or not _is_vr(vr):  # also an element without VR among explicit ones, as some devices write
        return b"", here + 8, length32(buffer, here + 4)[0]
    if here + 12 > len(buffer):
        raise truncated("the header of an element")
    return vr, here + 12, length32(buffer, here + 8)[0]


def _measured(source: Bytes, start: int, length: int, vr: bytes, form: Form) -> int:
    """The length of a value that may be a sequence, and of one whose length is undefined. Raises Refused where it is
    nested too deep: a value of known length is walked only where it has as many items as such a nest needs."""
    if length == UNDEFINED:
        return _walk(source, start, None, IMPLICIT if vr == b"UN" else form) - start
    if length <= MAX_VALUE and vr in {b"", b"SQ", b"UN"}:  # a longer one is kept by nobody and stepped over
        mark = _HEADS[form.big].pack(ITEM >> 16, ITEM & 0xFFFF, b"", 0)[:4]
        if source.read(start, 4) == mark and source.read(start, length).count(mark) > MAX_DEPTH:
            _walk(source, start, start + length, form)
    return length


def _kept(source: Bytes, start: int, length: int, tag: int) -> bytes:
    if length > MAX_VALUE:
        raise damaged(f"element {words(tag)} has {length} bytes")
    value = source.read(start, length)
    if len(value) < length:
        raise truncated(f"element {words(tag)}")
    return value


def _head(source: Bytes, at: int, form: Form) -> tuple[int, bytes, int, int]:
    """(tag, VR, where the value starts, its length) of the element at a position."""
    raw = source.read(at, 12)
    if len(raw) < 8:
        raise truncated("a sequence")
    raw = raw.ljust(12, b"\0")
    g, e, vr, length = _HEADS[form.big].unpack(raw[:8])
    if g == 0xFFFE or form.implicit or not (vr in _SHORT or _is_vr(vr)):
        return g << 16 | e, b"", at + 8, _LENGTHS[form.big].unpack_from(raw, 4)[0]
    if vr in _SHORT:
        return g << 16 | e, vr, at + 8, length
    return g << 16 | e, vr, at + 12, _LENGTHS[form.big].unpack_from(raw, 8)[0]


def _walk(source: Bytes, at: int, end: int | None, form: Form, inside_item: bool = False) -> int:
    """Steps over a sequence (or the rest of an item) of undefined length, or through one that ends at `end`, without
    recursion; returns the position behind it. Raises Refused where it is deeper than MAX_DEPTH or never ends."""
    stack: list[tuple[int | None, Form]] = [(end, form)]  # where each level ends, None where a delimiter tells
    for _ in range(MAX_ELEMENTS):
        while stack and stack[-1][0] is not None and at >= stack[-1][0]:
            stack.pop()
        if not stack:
            return at
        here = stack[-1][1]
        tag, vr, start, length = _head(source, at, here)
        if tag in {ITEM_END, SEQUENCE_END}:
            at = start
            if stack[-1][0] is None:
                stack.pop()
                if not stack and inside_item and tag == SEQUENCE_END:
                    raise damaged("an item ends in a sequence delimiter")
        elif length == UNDEFINED:
            stack.append((None, IMPLICIT if vr == b"UN" else here))
            at = start
        elif tag == ITEM or vr == b"SQ" or (not vr and source.read(start, 4) == b"\xfe\xff\x00\xe0"):
            stack.append((start + length, here))
            at = start
        else:
            at = start + length
        if at > source.size:
            raise truncated("a sequence")
        if len(stack) > 2 * MAX_DEPTH:  # a level of nesting is a sequence and an item
            raise damaged(f"sequences are nested deeper than {MAX_DEPTH}")
    raise damaged(f"more than {MAX_ELEMENTS} elements in a sequence")
