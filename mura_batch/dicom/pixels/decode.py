"""One file -> display image, and every decision on the way.

The sizes in the header are compared with those of the file and the codestream before a decoder runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mura_batch.dicom.header.byte_sources import InflatedBytes, MemoryBytes
from mura_batch.dicom.header.elements import Incomplete
from mura_batch.dicom.header.judge import check_pixels, is_encapsulated
from mura_batch.dicom.header.layout import Layout
from mura_batch.dicom.header.parse import Header, parse_header, second_reading, with_flag
from mura_batch.dicom.header.second_reading import rewritten
from mura_batch.dicom.header.tags import Tags
from mura_batch.dicom.pixels.codecs import DecodedFrame, decode_frame
from mura_batch.dicom.pixels.codestream import has_signature
from mura_batch.dicom.pixels.description import Description, describe, pixel_aspect
from mura_batch.dicom.pixels.display import Rendering, apply_table, display_table, grey_levels
from mura_batch.dicom.pixels.encapsulation import read_fragments
from mura_batch.dicom.pixels.grid import Grid, aligned_with_frame
from mura_batch.dicom.pixels.halve import HALF, half_is_enough, is_gentle, sum_blocks, table_of_sums
from mura_batch.dicom.pixels.native import Patterns, bit_patterns, native_frame
from mura_batch.dicom.pixels.padding import without_inner_padding
from mura_batch.dicom.pixels.stored_bits import StoredBits, find_stored_bits, pattern_table, with_bits
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.refused import Refused, unsupported
from mura_batch.dicom.syntax import CODECS, KNOWN
from mura_batch.records import PixelDecisions, Reason

SAMPLE = 1 << 17  # pixels in a histogram; its percentiles are within 0.1 % of those of all pixels


Shown = tuple[NDArray[np.uint8], float, PixelDecisions]


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """Stored values of a file, and what showing them depends on.

    patterns: [H, W] samples as they lie in memory, on the grid. table: from pattern to stored bits, None where they are
    the same. histogram: [2 ** bits] of stored bits in the exposed part. aspect: of a pixel of the whole frame.
    """

    layout: Layout
    patterns: Patterns
    bits: StoredBits
    table: Patterns | None
    grid: Grid
    histogram: NDArray[np.int64]
    description: Description
    aspect: float
    decoder: str
    flags: tuple[str, ...]
    unread: tuple[str, ...]


def decode(data: bytes | memoryview, policy: IntakePolicy, target_size: int) -> Shown:
    """data: the whole file. target_size: the longer side of the model input; 0 for the full resolution.

    Returns the display image [H, W] uint8, bone bright, not smaller than needed; the aspect (height over width) of its
    own pixels, by which `preprocess` gives a reduced picture the shape of the whole one; and every decision. Raises
    Refused.
    """
    return _show(_read(data, policy, target_size), policy.voi, target_size)


def decode_each_voi(data: bytes | memoryview, policy: IntakePolicy, target_size: int) -> list[Shown]:
    """As `decode`; behind its picture, those of the other VOI transforms that the file allows: its window, its VOI LUT,
    percentiles."""
    picture = _read(data, policy, target_size)
    shown = [_show(picture, policy.voi, target_size)]
    names = {shown[0][2].voi}
    for voi, name in (("window", "window"), ("lut", "voi lut"), ("percentiles", "percentiles")):
        try:
            other = _show(picture, voi, target_size)
        except Refused:
            continue
        if other[2].voi.startswith(name) and other[2].voi not in names:
            names.add(other[2].voi)
            shown.append(other)
    return shown


def _read(data: bytes | memoryview, policy: IntakePolicy, target: int) -> StoredPicture:
    header = _parsed(data, policy)
    tags = Tags(header.elements)
    if header.elements.pixel_bytes is None:
        raise Refused(Reason.NO_PIXEL_DATA, "no Pixel Data (7FE0,0010)")
    layout = check_pixels(header, tags, policy)
    frame = _frame(header, layout, target)
    patterns = bit_patterns(frame.stored)
    sample = _sample(patterns, layout, tags, frame.grid.reduction)
    bits = find_stored_bits(layout, patterns, sample, frame.has_high_bit)
    layout, table = with_bits(layout, bits), pattern_table(patterns.dtype, bits.bits, bits.shift, bits.clipped)
    description = without_inner_padding(describe(tags, layout), patterns, table)
    sample = sample if table is None else table[sample]
    return StoredPicture(
        layout=layout,
        patterns=patterns,
        bits=bits,
        table=table,
        grid=frame.grid,
        histogram=np.bincount(sample.ravel(), minlength=1 << layout.bits_stored),
        description=description,
        aspect=pixel_aspect(tags),
        decoder=frame.decoder,
        flags=(*frame.flags, *bits.flags, *description.flags),
        unread=tuple(f"{keyword} cannot be read" for keyword in sorted(tags.broken)),
    )


def _show(picture: StoredPicture, voi: str, target: int) -> Shown:
    p, layout, grid, patterns, table = picture, picture.layout, picture.grid, picture.patterns, picture.table
    brightness, rendering = display_table(p.description, p.histogram, voi)
    halves = half_is_enough(layout, grid, target) and not p.bits.clipped
    if halves and is_gentle(p.description, layout, brightness, p.histogram):
        brightness, patterns = table_of_sums(brightness), sum_blocks(patterns, p.bits.shift, layout.bits_stored)
        grid, table = HALF, None
    levels = grey_levels(brightness)
    shown = apply_table(levels if table is None else levels[table], patterns)
    display = aligned_with_frame(shown, grid, layout.rows, layout.columns, target)
    aspect = p.aspect * (layout.rows / display.shape[0]) / (layout.columns / display.shape[1])
    return display, aspect, _decisions(p, rendering, grid)


def _parsed(data: bytes | memoryview, policy: IntakePolicy) -> Header:
    """By our own reader, or where that fails within its bounds by pydicom: this is a worker process."""
    try:
        return parse_header(MemoryBytes(data), policy, whole=True)
    except Incomplete as incomplete:
        if not incomplete.in_bounds:
            raise
        try:
            return with_flag(parse_header(MemoryBytes(rewritten(data)), policy, whole=True), second_reading(incomplete))
        except Refused:
            raise incomplete from None


def _decisions(picture: StoredPicture, rendering: Rendering, grid: Grid) -> PixelDecisions:
    return PixelDecisions(
        decoder=picture.decoder,
        reduction=grid.reduction,
        modality_transform=rendering.modality_transform,
        voi=rendering.voi,
        window_center=rendering.center,
        window_width=rendering.width,
        polarity=rendering.polarity,
        polarity_reason=rendering.polarity_reason,
        pixel_aspect=picture.aspect,
        flags=(*picture.flags, *rendering.flags, *picture.unread),
    )


def _frame(header: Header, layout: Layout, target: int) -> DecodedFrame:
    codec = CODECS.get(header.syntax, "" if header.syntax in KNOWN else header.syntax[:64])
    if is_encapsulated(header, layout):
        fragments = read_fragments(header.body, header.elements.end)
        if header.syntax not in KNOWN and not has_signature(fragments.stream):
            raise unsupported(header.syntax)
        return decode_frame(fragments, codec, layout, target)
    flags: tuple[str, ...] = ()
    if codec:
        flags = (f"native pixel data under a Transfer Syntax of {codec}",)
    if (excess := (header.elements.pixel_bytes or 0) - layout.frame_bytes) > 1:
        flags = (*flags, f"{excess} bytes behind the frame in Pixel Data (7FE0,0010)")
    if isinstance(header.body, InflatedBytes):
        header.body.allow(header.elements.end + layout.frame_bytes)
    return DecodedFrame(native_frame(header, layout), "native", has_high_bit=True, flags=flags)


def _sample(bits: Patterns, layout: Layout, tags: Tags, reduction: int) -> Patterns:
    """Evenly spaced pixels, inside a rectangular collimator (PS3.3 C.8.7.3) where the header gives one; all of these
    pixels where the sample has one value, because an anti-scatter grid may coincide with it."""
    left, right, top, bottom = (tags.number(f"Collimator{name}Edge") // reduction for name in _EDGES)
    inside = "RECTANGULAR" in tags.texts("CollimatorShape") and right - left > 8 and bottom - top > 8
    part = bits[max(top, 0) : bottom, max(left, 0) : right] if inside else bits
    part = part if part.size else bits
    step = max(1, int((part.size / SAMPLE) ** 0.5))
    sample = np.ascontiguousarray(part[::step, ::step])  # looked at several times
    return sample if sample.min() != sample.max() else part


_EDGES = ("LeftVertical", "RightVertical", "UpperHorizontal", "LowerHorizontal")
