"""A data set as raw elements (PS3.5 chapter 7): which tag, which VR, which bytes; nothing is converted.

Written for the header scan: values that nobody asked for are stepped over, sequences are walked without recursion, and
the number of elements, the depth and the length of what is kept are bounded, so that no file can slow or fool a scan.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from struct import Struct

from mura_batch.dicom.header.byte_sources import Bytes, MemoryBytes
from mura_batch.dicom.refused import OutOfBounds, Refused, damaged, out_of_bounds, truncated
from mura_batch.records import Reason

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
_SHORTS = {big: Struct(f"{'>' if big else '<'}H") for big in (False, True)}
_LENGTHS = {big: Struct(f"{'>' if big else '<'}L") for big in (False, True)}
# Pixel Data in explicit (12 bytes) and implicit form (8 bytes), with its length.
_PIXEL_DATA = re.compile(rb"\xe0\x7f\x10\x00(?:O[BW]\0\0(.{4})|(.{4}))", re.DOTALL)
_SEARCHED = 1 << 20  # bytes at once


@dataclass(slots=True)
class Elements:
    """values: tag -> (VR or b'' in implicit form, bytes). end: where the scan stopped: behind the header of Pixel Data
    where there is one, and then pixel_tag and pixel_bytes say which, of which VR, and how long it claims to be. flags:
    what is odd about its sequences, in words."""

    form: Form
    values: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    end: int = 0
    pixel_tag: int = 0
    pixel_vr: bytes = b""
    pixel_bytes: int | None = None
    flags: set[str] = field(default_factory=set)


class Incomplete(Refused):
    """A scan that could not be finished, with the elements before that place. in_bounds: another reader may try."""

    def __init__(self, refused: Refused, elements: Elements) -> None:
        super().__init__(refused.reason, refused.detail)
        self.elements = elements
        self.in_bounds = not isinstance(refused, OutOfBounds) and refused.reason is not Reason.TOO_LARGE


def scan(source: Bytes, at: int, form: Form, wanted: Container[int], last_group: int = 0xFFFF) -> Elements:
    """From position `at` up to Pixel Data or the end of the data, or up to the first element beyond last_group.

    Raises Incomplete: TRUNCATED where the data end inside an element, DAMAGED_HEADER where a bound is broken or the
    rest of the file shows that nothing is missing.
    """
    elements = Elements(form)
    try:
        _scan(source, at, elements, wanted, last_group)
    except Refused as refused:
        raise Incomplete(refused, elements) from refused
    return elements


def _scan(source: Bytes, at: int, elements: Elements, wanted: Container[int], last_group: int) -> None:
    form, implicit = elements.form, elements.form.implicit
    values, head, short = elements.values, _HEADS[form.big].unpack_from, _NONE if form.implicit else _SHORT
    length32 = _LENGTHS[form.big].unpack_from
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
            at_hand = implicit and here + 8 <= size
            read = (b"", 8, length32(buffer, here + 4)[0]) if at_hand else _long(source, base + here, tag, vr, form)
            vr, start, length = read[0], here + read[1], read[2]
            if tag in PIXEL_TAGS:
                elements.pixel_tag, elements.pixel_vr, elements.pixel_bytes, here = tag, vr, length, start
                break
            if length > 8 * MAX_DEPTH:
                length = _measured(source, base + start, length, vr, elements)
        end = start + length
        if end > size and base + end > source.size:
            raise ends_inside(source, base + start, f"element {words(tag)}")
        if tag in wanted:
            values[tag] = vr, buffer[start:end] if end <= size else _kept(source, base + start, length, tag)
        here = end
    else:
        raise out_of_bounds(f"more than {MAX_ELEMENTS} elements")
    elements.end = base + here


def items(value: bytes, form: Form) -> Iterator[Elements]:
    """The items of a sequence's value, each as elements; what is damaged ends them. form: the data set's; an item is
    read in the form in which it is written."""
    source, at = MemoryBytes(value), 0
    while at + 8 <= len(value):
        tag, _, skip, length = _head(source, at, form)
        if tag != ITEM:
            return
        start = at + skip
        own = _form_of_item(source, start, form)
        at = _walk(source, start, _Level(own, is_item=True), set()) if length == UNDEFINED else start + length
        yield scan(MemoryBytes(value[start:at]), 0, own, _EVERY)


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
        part = source.read(start, _SEARCHED + 16)
        for found in _PIXEL_DATA.finditer(part):
            length = int.from_bytes(found[1] or found[2], "little")
            if length == UNDEFINED and tail.endswith(b"\xfe\xff\xdd\xe0"):
                return True
            if 0 <= source.size - (start + found.end() + length) <= 2:
                return True
    return False


def _is_vr(vr: bytes) -> bool:
    return vr in _LONG or (len(vr) == 2 and vr.isalpha() and vr.isupper())


def _long(source: Bytes, at: int, tag: int, vr: bytes, form: Form) -> tuple[bytes, int, int]:
    """(VR, bytes of the header, length) of the element at `at`, if its VR is none of those with a length of 16 bits."""
    length32 = _LENGTHS[form.big].unpack_from
    raw = source.read(at, 12)
    if form.implicit or tag >> 16 == 0xFFFE:
        return b"", 8, length32(raw, 4)[0]
    if vr in _LONG:
        if len(raw) < 12:
            raise ends_inside(source, at, "the header of an element")
        return vr, 12, length32(raw, 8)[0]
    # No VR of the standard: a device's own, or none at all. The reading after which the next tag is in order counts; of
    # several, that of PS3.5 7.1.2 for VRs to come (two letters, 32 bits), else that of an element without VR.
    raw = raw.ljust(12, b"\0")
    short, absent = (vr, 8, _SHORTS[form.big].unpack_from(raw, 6)[0]), (b"", 8, length32(raw, 4)[0])
    long = (vr, 12, length32(raw, 8)[0])
    readings = (long, short, absent) if _is_vr(vr) else (absent, short, long)
    return max(readings, key=lambda reading: _order(source, at + reading[1] + reading[2], tag, form))


def _order(source: Bytes, at: int, tag: int, form: Form) -> tuple[int, int]:
    """How well what stands at `at` follows an element of this tag, the larger the better: 2 for the end of the data or
    an element of a higher tag and a known VR, 1 for one of a higher tag alone, the nearest first, 0 for all else."""
    try:
        raw = source.read(at, 8) if at <= source.size else b""
    except Refused:  # beyond what is inflated of a header
        return 0, 0
    if len(raw) < 8:
        return (2, 0) if at == source.size else (0, 0)
    g, e, vr, _ = _HEADS[form.big].unpack(raw)
    following = g << 16 | e
    if following in {ITEM, ITEM_END, SEQUENCE_END}:
        return 2, 0
    if following <= tag:
        return 0, 0
    known = at + 8 + _LENGTHS[form.big].unpack_from(raw, 4)[0] <= source.size if form.implicit else vr in VRS
    return (2, 0) if known else (1, -following)


def _form_of_item(source: Bytes, at: int, form: Form) -> Form:
    """In which form the item's elements are written: in that of the data set, or as `form` tells for VR UN (PS3.5
    6.2.2); some devices write the other one. It counts where its second tag is in order and the other's is not."""
    raw = source.read(at, 8)
    if len(raw) < 8 or (raw[4:6] in VRS) is not form.implicit:
        return form
    other = Form(not form.implicit, form.big)
    return other if _second(source, at, other) > _second(source, at, form) else form


def _second(source: Bytes, at: int, form: Form) -> tuple[int, int]:
    tag, _, skip, length = _head(source, at, form)
    return _order(source, at + skip + length, tag, form)


def _measured(source: Bytes, start: int, length: int, vr: bytes, elements: Elements) -> int:
    """The length of a value that may be a sequence, and of one whose length is undefined. Raises Refused where it is
    nested too deep: a value of known length is walked only where it has as many items as such a nest needs."""
    form = elements.form
    if length == UNDEFINED:
        return _walk(source, start, _Level(IMPLICIT if vr == b"UN" else form, is_item=False), elements.flags) - start
    if length <= MAX_VALUE and vr in {b"", b"SQ", b"UN"}:  # a longer one is kept by nobody and stepped over
        mark = _HEADS[form.big].pack(ITEM >> 16, ITEM & 0xFFFF, b"", 0)[:4]
        if source.read(start, 4) == mark and source.read(start, length).count(mark) > MAX_DEPTH:
            _refuse_deep(source, start, start + length, form)
    return length


def _refuse_deep(source: Bytes, at: int, end: int, form: Form) -> None:
    """Raises Refused if the sequence is nested deeper than MAX_DEPTH. Anything else that is wrong with it is no matter
    here: it is stepped over by its length."""
    ends = [end]  # of each level
    while at + 8 <= end:
        while at >= ends[-1]:
            ends.pop()
        tag, vr, skip, length = _head(source, at, form)
        at += skip
        if tag == ITEM or vr == b"SQ" or (not vr and source.read(at, 4) == b"\xfe\xff\x00\xe0"):
            ends.append(end if length == UNDEFINED else min(at + length, end))
        elif tag not in {ITEM_END, SEQUENCE_END}:
            at += 0 if length == UNDEFINED else length
        if len(ends) > 2 * MAX_DEPTH:  # a level of nesting is a sequence and an item
            raise out_of_bounds(f"sequences are nested deeper than {MAX_DEPTH}")


def _kept(source: Bytes, start: int, length: int, tag: int) -> bytes:
    if length > MAX_VALUE:
        raise out_of_bounds(f"element {words(tag)} has {length} bytes")
    value = source.read(start, length)
    if len(value) < length:
        raise ends_inside(source, start, f"element {words(tag)}")
    return value


def _head(source: Bytes, at: int, form: Form) -> tuple[int, bytes, int, int]:
    """(tag, VR, bytes of the header, length of the value) of the element at a position."""
    raw = source.read(at, 8)
    if len(raw) < 8:
        raise ends_inside(source, at, "a sequence")
    g, e, vr, length = _HEADS[form.big].unpack(raw)
    tag = g << 16 | e
    if not form.implicit and vr in _SHORT and g != 0xFFFE:
        return tag, vr, 8, length
    return tag, *_long(source, at, tag, vr, form)


_OPEN_ITEM = "an item of a sequence ends without its Item Delimitation Item (FFFE,E00D)"
_OPEN_SEQUENCE = "a sequence ends without its Sequence Delimitation Item (FFFE,E0DD)"


@dataclass(slots=True)
class _Level:
    """An item, a sequence or fragments of undefined length that are open. delimited: whether an Item Delimitation Item
    that comes next belongs to the item around it, because an item in here had its own, or fragments have none."""

    form: Form
    is_item: bool
    delimited: bool = False


def _walk(source: Bytes, at: int, outer: _Level, flags: set[str]) -> int:
    """Steps over the rest of an item or of a sequence of undefined length, without recursion; returns the position
    behind its delimiter. flags: gets what is odd. Raises Refused where the nesting is deeper than MAX_DEPTH or never
    ends."""
    stack = [outer]
    for _ in range(MAX_ELEMENTS):
        at = _step(source, at, stack, flags)
        if not stack:
            return at
        if at > source.size:
            raise ends_inside(source, at, "a sequence")
        if len(stack) > 2 * MAX_DEPTH:  # a level of nesting is a sequence and an item
            raise out_of_bounds(f"sequences are nested deeper than {MAX_DEPTH}")
    raise out_of_bounds(f"more than {MAX_ELEMENTS} elements in a sequence")


def _step(source: Bytes, at: int, stack: list[_Level], flags: set[str]) -> int:
    """Behind the element at `at`, or inside it where its length is undefined; stack: the levels that are open.

    What has a length is stepped over by it: the fragments of an icon (PS3.5 A.4) are no elements."""
    level = stack[-1]
    tag, vr, skip, length = _head(source, at, level.form)
    if tag == SEQUENCE_END:
        _close_sequence(stack, flags)
        return at + skip
    if tag == ITEM_END:
        _close_item(stack, flags)
        return at + skip
    if not level.is_item and tag != ITEM:
        flags.add(_OPEN_SEQUENCE)
        stack.pop()
        return at
    if length != UNDEFINED:
        return at + skip + length
    inside = at + skip
    if tag == ITEM:
        stack.append(_Level(_form_of_item(source, inside, level.form), is_item=True))
    else:
        inner = IMPLICIT if vr == b"UN" else level.form
        stack.append(_Level(inner, is_item=False, delimited=vr in {b"OB", b"OW"} or tag in PIXEL_TAGS))
    return inside


def _close_sequence(stack: list[_Level], flags: set[str]) -> None:
    """With its last item, where that has no delimiter of its own."""
    while stack and stack[-1].is_item:
        flags.add(_OPEN_ITEM)
        stack.pop()
    if stack:  # else it is that of the sequence that holds the caller's item
        stack.pop()


def _close_item(stack: list[_Level], flags: set[str]) -> None:
    """With its last sequence, where that has no delimiter of its own. Behind an item of known length a delimiter says
    nothing."""
    if not stack[-1].is_item and stack[-1].delimited:
        flags.add(_OPEN_SEQUENCE)
        stack.pop()
    if stack and stack[-1].is_item:  # else it is that of the caller's item
        stack.pop()
        if stack:
            stack[-1].delimited = True
