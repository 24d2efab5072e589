"""The header of a JPEG XL frame (ISO/IEC 18181-1 annex D, ISO/IEC 18181-2 for the container), as far as its size,
precision and number of channels."""

from __future__ import annotations

from mura_batch.dicom.pixels.frame_header import MAX_BOXES, FrameHeader

BARE = b"\xff\x0a"  # how a codestream begins
CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
_ENOUGH = 64  # bytes of a codestream that hold every header read here
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # columns to rows, of ratio 1 to 7
_GREY = 1  # ColourSpace kGrey


class _Bits:
    """Reads from the least significant bit on (ISO/IEC 18181-1 B.2). Raises IndexError behind the end."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "little"), 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise IndexError("it ends too early")
        value = self._value & ((1 << count) - 1)
        self._value, self._left = self._value >> count, self._left - count
        return value

    def flag(self) -> bool:
        return self.take(1) == 1

    def choice(self, *ways: tuple[int, int]) -> int:
        """U32: two bits choose one of four ways, (offset, further bits to add to it)."""
        offset, count = ways[self.take(2)]
        return offset + self.take(count)


def jpeg_xl_header(data: bytes) -> FrameHeader:
    """Raises ValueError or IndexError where it is not the header of one plain picture."""
    bits = _Bits(_codestream(data)[2:])
    rows, columns = _size(bits)
    if bits.flag():  # all_default: 8 bits, RGB
        return FrameHeader("jpeg xl", rows, columns, 3, 8)
    if bits.flag():  # extra_fields
        _refuse_extras(bits)
    if bits.flag():  # float_sample
        raise ValueError("floating-point samples")
    precision = bits.choice((8, 0), (10, 0), (12, 0), (1, 6))
    bits.flag()  # modular_16bit_buffers
    if bits.choice((0, 0), (1, 0), (2, 4), (1, 12)):
        raise ValueError("channels beside the picture")
    bits.flag()  # xyb_encoded
    components = 3
    if not bits.flag():  # all_default of the colour encoding: sRGB
        bits.flag()  # want_icc
        components = 1 if bits.choice((0, 0), (1, 0), (2, 4), (18, 6)) == _GREY else 3
    return FrameHeader("jpeg xl", rows, columns, components, precision)


def _size(bits: _Bits) -> tuple[int, int]:
    small = bits.flag()
    rows = _side(bits, small)
    ratio = bits.take(3)
    if ratio == 0:
        return rows, _side(bits, small)
    across, down = _RATIOS[ratio - 1]
    return rows, rows * across // down


def _side(bits: _Bits, small: bool) -> int:
    return 8 * (bits.take(5) + 1) if small else bits.choice((1, 9), (1, 13), (1, 18), (1, 30))


def _refuse_extras(bits: _Bits) -> None:
    """An orientation would turn the picture against the header's Rows and Columns; previews and animations are further
    pictures."""
    if bits.take(3):
        raise ValueError("an orientation")
    if bits.flag():  # have_intr_size: how large it should be shown
        _size(bits)
    if bits.flag() or bits.flag():
        raise ValueError("a preview or an animation")


def _codestream(data: bytes) -> bytes:
    """The first bytes of the codestream, out of its boxes where it has any."""
    if not data.startswith(CONTAINER):
        return data[:_ENOUGH]
    at, parts = 0, b""
    for _ in range(MAX_BOXES):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        head = 8
        if length == 1:
            length, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        end = at + length if length else len(data)
        if kind in {b"jxlc", b"jxlp"}:
            start = at + head + (4 if kind == b"jxlp" else 0)  # jxlp: a number of the part, then the part
            parts += data[start : min(end, start + _ENOUGH)]
            if kind == b"jxlc" or len(parts) >= _ENOUGH:
                break
        if end < at + head or end >= len(data):
            break
        at = end
    if not parts.startswith(BARE):
        raise ValueError("no codestream box")
    return parts[:_ENOUGH]
