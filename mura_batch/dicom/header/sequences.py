"""Sequences are stepped over without recursion: no nesting, however deep, costs more than its bytes."""

from __future__ import annotations

from dataclasses import dataclass

from mura_batch.dicom.header.byte_sources import Bytes, MemoryBytes
from mura_batch.dicom.header.element_head import Head, form_of_item, read_head
from mura_batch.dicom.header.endings import ends_inside
from mura_batch.dicom.header.forms import (
    DELIMITERS,
    HEADS,
    IMPLICIT,
    ITEM,
    ITEM_END,
    PIXEL_TAGS,
    SEQUENCE_END,
    UNDEFINED,
    Form,
)
from mura_batch.dicom.refused import out_of_bounds

MAX_DEPTH = 128  # of nested sequences; structured reports, the deepest honest objects, reach about 20
MAX_VALUE = 16 << 20  # bytes of a value that is kept; the largest honest one is a lookup table of 128 kB
MAX_ELEMENTS = 50_000  # of one header; honest ones have 50 to 500


def measured(source: Bytes, start: int, length: int, vr: bytes, form: Form, flags: set[str]) -> int:
    """The length of a value that may be a sequence, and of one whose length is undefined. flags: gets what is odd.
    Raises Refused where it is nested too deep: a value of known length is walked only where it has as many items as
    such a nest needs."""
    if length == UNDEFINED:
        return walk(source, start, Level(IMPLICIT if vr == b"UN" else form, is_item=False), flags) - start
    if length <= MAX_VALUE and vr in {b"", b"SQ", b"UN"}:  # a longer one is kept by nobody and stepped over
        mark = HEADS[form.big].pack(ITEM >> 16, ITEM & 0xFFFF, b"", 0)[:4]
        if source.read(start, 4) == mark:
            value = source.read(start, length)
            if value.count(mark) > MAX_DEPTH:
                _refuse_deep(value, form, mark)
    return length


def _refuse_deep(value: bytes, form: Form, mark: bytes) -> None:
    """Raises Refused if the sequence is nested deeper than MAX_DEPTH. Anything else that is wrong with it is no matter
    here: it is stepped over by its length. An item that holds no more items than that is not walked."""
    source, at, end = MemoryBytes(value), 0, len(value)
    ends, open_end = [end], end + 1  # of each level; of one whose length is undefined
    while at + 8 <= end:
        while at >= ends[-1]:
            ends.pop()
        tag, vr, skip, length = read_head(source, at, form)
        at += skip
        if tag in {ITEM_END, SEQUENCE_END}:
            if ends[-1] == open_end:
                ends.pop()
        elif tag == ITEM and len(ends) == 1 and length != UNDEFINED and value.count(mark, at, at + length) < MAX_DEPTH:
            at += length
        elif tag == ITEM or vr == b"SQ" or (not vr and source.read(at, 4) == b"\xfe\xff\x00\xe0"):
            ends.append(open_end if length == UNDEFINED else min(at + length, end))
        else:
            at += 0 if length == UNDEFINED else length
        if len(ends) > 2 * MAX_DEPTH:  # a level of nesting is a sequence and an item
            raise out_of_bounds(f"sequences are nested deeper than {MAX_DEPTH}")


_OPEN_ITEM = "an item of a sequence ends without its Item Delimitation Item (FFFE,E00D)"
_OPEN_SEQUENCE = "a sequence ends without its Sequence Delimitation Item (FFFE,E0DD)"


@dataclass(slots=True)
class Level:
    """An item, a sequence or fragments of undefined length that are open. delimited: whether an Item Delimitation Item
    that comes next belongs to the item around it, because an item in here had its own, or fragments have none."""

    form: Form
    is_item: bool
    delimited: bool = False


def walk(source: Bytes, at: int, outer: Level, flags: set[str]) -> int:
    """Steps over the rest of an item or of a sequence of undefined length, without recursion; returns the position
    behind its delimiter. flags: gets what is odd. Raises Refused where the nesting is deeper than MAX_DEPTH or never
    ends."""
    stack = [outer]
    for _ in range(MAX_ELEMENTS):
        level = stack[-1]
        head = read_head(source, at, level.form)
        if level.is_item and head[3] != UNDEFINED and head[0] >> 16 != DELIMITERS:  # nearly every element
            at += head[2] + head[3]
        else:
            at = _step(source, at, head, stack, flags)
        if not stack:
            return at
        if at > source.size:
            raise ends_inside(source, at, "a sequence")
        if len(stack) > 2 * MAX_DEPTH:  # a level of nesting is a sequence and an item
            raise out_of_bounds(f"sequences are nested deeper than {MAX_DEPTH}")
    raise out_of_bounds(f"more than {MAX_ELEMENTS} elements in a sequence")


def _step(source: Bytes, at: int, head: Head, stack: list[Level], flags: set[str]) -> int:
    """Behind the element at `at`, or inside it where its length is undefined; stack: the levels that are open.

    What has a length is stepped over by it: the fragments of an icon (PS3.5 A.4) are no elements."""
    level = stack[-1]
    tag, vr, skip, length = head
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
        stack.append(Level(form_of_item(source, inside, level.form), is_item=True))
    else:
        inner = IMPLICIT if vr == b"UN" else level.form
        stack.append(Level(inner, is_item=False, delimited=vr in {b"OB", b"OW"} or tag in PIXEL_TAGS))
    return inside


def _close_sequence(stack: list[Level], flags: set[str]) -> None:
    """With its last item, where that has no delimiter of its own."""
    while stack and stack[-1].is_item:
        flags.add(_OPEN_ITEM)
        stack.pop()
    if stack:  # else it is that of the sequence that holds the caller's item
        stack.pop()


def _close_item(stack: list[Level], flags: set[str]) -> None:
    """With its last sequence, where that has no delimiter of its own. Behind an item of known length a delimiter says
    nothing."""
    if not stack[-1].is_item and stack[-1].delimited:
        flags.add(_OPEN_SEQUENCE)
        stack.pop()
    if stack and stack[-1].is_item:  # else it is that of the caller's item
        stack.pop()
        if stack:
            stack[-1].delimited = True
