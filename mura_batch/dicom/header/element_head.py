"""The header of an element: its tag, its VR and its length, as written or as what follows it shows."""

from __future__ import annotations

from mura_batch.dicom.header.byte_sources import Bytes
from mura_batch.dicom.header.endings import ends_inside
from mura_batch.dicom.header.forms import (
    DELIMITERS,
    HEADS,
    ITEM,
    ITEM_END,
    LENGTHS,
    LONG_VRS,
    SEQUENCE_END,
    SHORT_VRS,
    SHORTS,
    VRS,
    Form,
)
from mura_batch.dicom.refused import Refused

Head = tuple[int, bytes, int, int]  # tag, VR, bytes of the header, length of the value


def read_head(source: Bytes, at: int, form: Form) -> Head:
    """Of the element at a position."""
    raw = source.read(at, 8)
    if len(raw) < 8:
        raise ends_inside(source, at, "a sequence")
    g, e, vr, length = HEADS[form.big].unpack(raw)
    tag = g << 16 | e
    if form.implicit or g == DELIMITERS:
        return tag, b"", 8, LENGTHS[form.big].unpack_from(raw, 4)[0]
    if vr in SHORT_VRS:
        return tag, vr, 8, length
    return tag, *read_long(source, at, tag, vr, form)


def _is_vr(vr: bytes) -> bool:
    return vr in LONG_VRS or (len(vr) == 2 and vr.isalpha() and vr.isupper())


def read_long(source: Bytes, at: int, tag: int, vr: bytes, form: Form) -> tuple[bytes, int, int]:
    """(VR, bytes of the header, length) of the element at `at`, if its VR is none of those with a length of 16 bits."""
    length32 = LENGTHS[form.big].unpack_from
    raw = source.read(at, 12)
    if form.implicit or tag >> 16 == 0xFFFE:
        return b"", 8, length32(raw, 4)[0]
    if vr in LONG_VRS:
        if len(raw) < 12:
            raise ends_inside(source, at, "the header of an element")
        return vr, 12, length32(raw, 8)[0]
    # No VR of the standard: a device's own, or none at all. The reading after which the next tag is in order counts; of
    # several, that of PS3.5 7.1.2 for VRs to come (two letters, 32 bits), else that of an element without VR.
    raw = raw.ljust(12, b"\0")
    short, absent = (vr, 8, SHORTS[form.big].unpack_from(raw, 6)[0]), (b"", 8, length32(raw, 4)[0])
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
    g, e, vr, _ = HEADS[form.big].unpack(raw)
    following = g << 16 | e
    if following in {ITEM, ITEM_END, SEQUENCE_END}:
        return 2, 0
    if following <= tag:
        return 0, 0
    known = at + 8 + LENGTHS[form.big].unpack_from(raw, 4)[0] <= source.size if form.implicit else vr in VRS
    return (2, 0) if known else (1, -following)


def form_of_item(source: Bytes, at: int, form: Form) -> Form:
    """In which form the item's elements are written: in that of the data set, or as `form` tells for VR UN (PS3.5
    6.2.2); some devices write the other one. It counts where its second tag is in order and the other's is not."""
    raw = source.read(at, 8)
    if len(raw) < 8 or (raw[4:6] in VRS) is not form.implicit:
        return form
    other = Form(not form.implicit, form.big)
    return other if _second(source, at, other) > _second(source, at, form) else form


def _second(source: Bytes, at: int, form: Form) -> tuple[int, int]:
    tag, _, skip, length = read_head(source, at, form)
    return _order(source, at + skip + length, tag, form)
