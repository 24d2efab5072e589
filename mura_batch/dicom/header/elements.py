"""A data set as raw elements (PS3.5 chapter 7): which tag, which VR, which bytes; nothing is converted.

Written for the header scan: values that nobody asked for are stepped over, sequences are walked without recursion, and
the number of elements, the depth and the length of what is kept are bounded, so that no file can slow or fool a scan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mura_batch.dicom.header.byte_sources import Bytes, MemoryBytes
from mura_batch.dicom.header.element_head import form_of_item, read_head, read_long
from mura_batch.dicom.header.endings import ends_here, ends_inside
from mura_batch.dicom.header.forms import (
    DELIMITERS,
    ITEM,
    ITEM_END,
    LENGTHS,
    LONG_VRS,
    SEQUENCE_END,
    SHORT_VRS,
    UNDEFINED,
    WIRE_HEADS,
    WIRE_PIXEL_TAGS,
    Form,
    Wanted,
    wire_tag,
    words,
)  # fmt: skip
from mura_batch.dicom.header.sequences import MAX_DEPTH, MAX_ELEMENTS, MAX_VALUE, Level, measured, walk
from mura_batch.dicom.refused import OutOfBounds, Refused, out_of_bounds
from mura_batch.records import Reason

LAST_GROUP = 0xFFFF
_NONE: frozenset[bytes] = frozenset()


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


def scan(source: Bytes, at: int, form: Form, wanted: Wanted, last_group: int = LAST_GROUP) -> Elements:
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


def _scan(  # noqa: PLR0912 - a function for each case would cost as much as the rest of the loop
    source: Bytes, at: int, elements: Elements, wanted: Wanted, last_group: int
) -> None:
    form, implicit, big, values = elements.form, elements.form.implicit, elements.form.big, elements.values
    head, length32, pixels, keep = (
        WIRE_HEADS[big].unpack_from,
        LENGTHS[big].unpack_from,
        WIRE_PIXEL_TAGS[big],
        wanted[big],
    )
    # short: VRs with a length of 16 bits. known: the bytes of a VR. wide: those of a header with a length of 32 bits.
    short, known, wide = (_NONE, 0, 8) if implicit else (SHORT_VRS, 2, 12)
    is_bounded = last_group < LAST_GROUP
    buffer, here = source.chunk(at)
    base, size = at - here, len(buffer)  # base: where the buffer starts
    for _ in range(MAX_ELEMENTS):  # its body runs a hundred times a file: what is rare stands in functions
        if here + 12 > size:
            at = base + here
            buffer, here = source.chunk(at)
            base, size = at - here, len(buffer)
            if here + 12 > size and ends_here(source, at, buffer[here:]):
                break
        wire, vr, length = head(buffer, here)
        if is_bounded and (wire >> 16 if big else wire & 0xFFFF) > last_group:
            break
        if vr in short:
            start = here + 8
        else:
            if implicit or (
                vr in LONG_VRS and (wire >> 16 if big else wire & 0xFFFF) != DELIMITERS and here + 12 <= size
            ):
                vr, start = vr[:known], here + wide
                length = length32(buffer, start - 4)[0]
            else:
                vr, skip, length = read_long(source, base + here, wire_tag(wire, big), vr, form)
                start = here + skip
            if wire in pixels:
                elements.pixel_tag, elements.pixel_vr, elements.pixel_bytes = wire_tag(wire, big), vr, length
                here = start
                break
            if length > 8 * MAX_DEPTH:
                length = measured(source, base + start, length, vr, form, elements.flags)
        here = start + length
        if here > size and base + here > source.size:
            raise ends_inside(source, base + start, f"element {words(wire_tag(wire, big))}")
        if wire in keep:
            value = buffer[start:here] if here <= size else _kept(source, base + start, length, wire_tag(wire, big))
            values[keep[wire]] = vr, value
    else:
        raise out_of_bounds(f"more than {MAX_ELEMENTS} elements")
    elements.end = base + here


def items(value: bytes, form: Form) -> Iterator[Elements]:
    """The items of a sequence's value, each as elements; what is damaged ends them. form: the data set's; an item is
    read in the form in which it is written."""
    source, at = MemoryBytes(value), 0
    while at + 8 <= len(value):
        tag, _, skip, length = read_head(source, at, form)
        if tag != ITEM:
            return
        start = at + skip
        own = form_of_item(source, start, form)
        at = walk(source, start, Level(own, is_item=True), set()) if length == UNDEFINED else start + length
        yield scan(MemoryBytes(value[start:at]), 0, own, _EVERY)


class _Every(dict[int, int]):
    """All tags but the delimiters, in one byte order."""

    def __init__(self, big: bool) -> None:
        super().__init__()
        self._big = big

    def __contains__(self, wire: object) -> bool:
        return isinstance(wire, int) and wire_tag(wire, self._big) not in {ITEM, ITEM_END, SEQUENCE_END}

    def __missing__(self, wire: int) -> int:
        return wire_tag(wire, self._big)


_EVERY: Wanted = {big: _Every(big) for big in (False, True)}


def _kept(source: Bytes, start: int, length: int, tag: int) -> bytes:
    if length > MAX_VALUE:
        raise out_of_bounds(f"element {words(tag)} has {length} bytes")
    value = source.read(start, length)
    if len(value) < length:
        raise ends_inside(source, start, f"element {words(tag)}")
    return value
