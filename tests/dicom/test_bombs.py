"""Files made to hurt: each is refused with the right reason, in well under five seconds and without much memory."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest

from mura_batch.dicom import syntax as syntaxes
from mura_batch.records import Instance, Reason, Skipped

Write = Callable[..., Path]
Intake = Callable[..., dict[str, Any]]
SECONDS = 5.0  # what a hostile file may cost; measured with the start of the worker left out


MEMORY = 150  # MB: what a parent that reads one hostile header may take, with Python and numpy


def refused(header: Callable[..., Any], path: Path) -> tuple[Reason, str]:
    start = time.perf_counter()
    found = header(path)
    assert time.perf_counter() - start < SECONDS
    assert isinstance(found, Skipped), found
    return found.reason, found.detail


def before_pixels(path: Path, raw: bytes) -> None:
    data = path.read_bytes()
    at = data.index(b"\xe0\x7f\x10\x00O")
    path.write_bytes(data[:at] + raw + data[at:])


def nested(depth: int, known_length: bool, implicit: bool) -> bytes:
    """A private sequence (0029,1010) of one item that holds another, and so on."""
    value = b""
    for _ in range(depth):
        end = b"" if known_length else struct.pack("<HHL", 0xFFFE, 0xE00D, 0)
        item = struct.pack("<HHL", 0xFFFE, 0xE000, len(value) if known_length else 0xFFFFFFFF) + value + end
        end = b"" if known_length else struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
        head = struct.pack("<HH", 0x0029, 0x1010) + (b"" if implicit else b"SQ\0\0")
        value = head + struct.pack("<L", len(item) if known_length else 0xFFFFFFFF) + item + end
    return value


@pytest.mark.parametrize("known_length", [True, False])
@pytest.mark.parametrize("syntax", [syntaxes.EXPLICIT_LE, syntaxes.IMPLICIT_LE])
def test_sequences_nested_5000_deep_are_refused(
    write: Write, header: Callable[..., Any], known_length: bool, syntax: str
) -> None:
    path = write("a", syntax=syntax)
    data, implicit = path.read_bytes(), syntax == syntaxes.IMPLICIT_LE
    at = data.index(b"\xe0\x7f\x10\x00")
    path.write_bytes(data[:at] + nested(5000, known_length, implicit) + data[at:])
    assert refused(header, path) == (Reason.DAMAGED_HEADER, "sequences are nested deeper than 128")


def test_sequences_as_deep_as_honest_ones_are_read(write: Write, header: Callable[..., Any]) -> None:
    path = write("a")
    before_pixels(path, nested(20, known_length=False, implicit=False))
    assert isinstance(header(path), Instance)


def test_a_sequence_of_many_items_of_undefined_length_is_not_deep(write: Write, header: Callable[..., Any]) -> None:
    one = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF) + struct.pack("<HHL", 0xFFFE, 0xE00D, 0)
    before_pixels(path := write("a"), struct.pack("<HH2sHL", 0x7001, 0x1001, b"SQ", 0, 400 * len(one)) + 400 * one)
    assert isinstance(header(path), Instance)


def test_a_deep_item_among_many_flat_ones_is_refused(write: Write, header: Callable[..., Any]) -> None:
    flat, deep = struct.pack("<HHL", 0xFFFE, 0xE000, 0), nested(5000, known_length=True, implicit=False)
    items = 300 * flat + struct.pack("<HHL", 0xFFFE, 0xE000, len(deep)) + deep + 300 * flat
    before_pixels(path := write("a"), struct.pack("<HH2sHL", 0x7001, 0x1001, b"SQ", 0, len(items)) + items)
    assert refused(header, path) == (Reason.DAMAGED_HEADER, "sequences are nested deeper than 128")


def test_a_wanted_sequence_nested_deep_inside_does_not_recurse(write: Write, header: Callable[..., Any]) -> None:
    path = write("a")
    data = path.read_bytes()
    at = data.index(b"\x10\x00\x20\x00LO")  # Patient ID: the sequence below stands before it
    inner = nested(100, known_length=True, implicit=False)
    item = struct.pack("<HHL", 0xFFFE, 0xE000, len(inner)) + inner
    raw = struct.pack("<HH2sHL", 0x0008, 0x2218, b"SQ", 0, len(item)) + item
    path.write_bytes(data[:at] + raw + data[at:])
    assert isinstance(header(path), Instance)


def test_an_item_that_never_ends_is_refused(write: Write, header: Callable[..., Any]) -> None:
    """A sequence without its delimiter ends before an element that is no item; an open item holds all that follows."""
    path = write("a")
    open_item = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    before_pixels(path, struct.pack("<HH2sHL", 0x0029, 0x1010, b"SQ", 0, 0xFFFFFFFF) + open_item)
    assert refused(header, path)[0] in {Reason.TRUNCATED, Reason.DAMAGED_HEADER}


def test_a_million_elements_are_refused(write: Write, header: Callable[..., Any]) -> None:
    path = write("a")
    before_pixels(path, struct.pack("<HH2sH", 0x0029, 0x1010, b"LO", 0) * 1_000_000)
    assert refused(header, path) == (Reason.DAMAGED_HEADER, "more than 50000 elements")


def test_a_million_items_in_a_sequence_are_refused(write: Write, header: Callable[..., Any]) -> None:
    path = write("a")
    items = struct.pack("<HHL", 0xFFFE, 0xE000, 0) * 1_000_000
    before_pixels(path, struct.pack("<HH2sHL", 0x0029, 0x1010, b"SQ", 0, 0xFFFFFFFF) + items)
    assert refused(header, path)[0] is Reason.DAMAGED_HEADER


def test_65535_by_65535_pixels_in_a_small_file_are_refused(write: Write) -> None:
    path = write("a", Rows=65535, Columns=65535)
    assert path.stat().st_size < 100_000
    reason, seconds, memory = judged_alone(path)
    assert reason == Reason.TOO_LARGE
    assert seconds < SECONDS
    assert memory < MEMORY


def test_an_element_that_claims_4_gb_is_damage(write: Write, header: Callable[..., Any]) -> None:
    path = write("a")
    before_pixels(path, struct.pack("<HH2sHL", 0x0029, 0x1010, b"OB", 0, 0xFFFFFFF0))
    assert refused(header, path)[0] is Reason.DAMAGED_HEADER  # the last byte of the file is there


def deflated_bomb(path: Path, body: bytes) -> None:
    """The file meta of path, then body and 600 MB of zeros, deflated to 600 kB."""
    data = path.read_bytes()
    start = 132 + 12 + struct.unpack_from("<L", data, 140)[0]  # behind File Meta Information Group Length
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    parts = [packer.compress(body), *(packer.compress(b"\0" * 10_000_000) for _ in range(60)), packer.flush()]
    path.write_bytes(data[:start] + b"".join(parts))


def judged_alone(path: Path) -> tuple[str, float, int]:
    """(reason, seconds, peak memory in MB) of reading one header in a process of its own."""
    script = (
        "import sys, time; from pathlib import Path;"
        "from mura_batch.dicom.header.reader import read_header; from mura_batch.dicom.policy import IntakePolicy;"
        "from mura_batch.records import SourceFile; start = time.perf_counter();"
        "found = read_header(Path(sys.argv[1]).parent, SourceFile(Path(sys.argv[1]).name, 0, 0, 0), IntakePolicy());"
        # not ru_maxrss: it counts the memory of the process that started this one
        "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(found.reason, time.perf_counter() - start, int(peak.split()[1]) >> 10)"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    reason, seconds, memory = done.stdout.split()
    return reason, float(seconds), int(memory)


def test_a_deflate_bomb_in_the_header_is_refused(write: Write) -> None:
    path = write("a", syntax=syntaxes.DEFLATED)
    deflated_bomb(path, struct.pack("<HH2sHL", 0x0008, 0x0001, b"OB", 0, 600_000_000))
    assert path.stat().st_size < 4_000_000
    reason, seconds, memory = judged_alone(path)
    assert reason == Reason.TOO_LARGE
    assert seconds < SECONDS
    assert memory < MEMORY


def test_a_deflate_bomb_in_the_pixels_is_refused(write: Write) -> None:
    path = write("a", syntax=syntaxes.DEFLATED)
    plain = write("b").read_bytes()
    at = plain.index(b"\x08\x00\x08\x00CS")
    pixels = plain.index(b"\xe0\x7f\x10\x00OW") + 8
    deflated_bomb(path, plain[at:pixels] + struct.pack("<L", 600_000_000))
    reason, seconds, memory = judged_alone(path)
    assert reason == Reason.PIXEL_SIZE_MISMATCH
    assert seconds < SECONDS
    assert memory < MEMORY


def j2k(rows: int, columns: int, **size: int) -> bytes:
    """A codestream of a few hundred bytes that says rows x columns."""
    code = bytearray(
        imagecodecs.jpeg2k_encode(np.zeros((16, 16), np.uint16), level=0, reversible=True, codecformat="j2k")
    )
    struct.pack_into(">LL", code, 8, columns, rows)  # Xsiz, Ysiz (ISO/IEC 15444-1 A.5.1)
    struct.pack_into(">LL", code, 24, size.get("tile", columns), size.get("tile", rows))
    return bytes(code)


def jpeg(rows: int, columns: int) -> bytes:
    code = bytearray(imagecodecs.jpeg8_encode(np.zeros((16, 16), np.uint8)))
    at = code.index(b"\xff\xc0")
    struct.pack_into(">HH", code, at + 5, rows, columns)  # Y, X of SOF0 (ISO/IEC 10918-1 B.2.2)
    return bytes(code)


def jpeg_xl(rows: int, columns: int, rest: str = "") -> bytes:
    """A codestream that says rows x columns (ISO/IEC 18181-1 D.2: sizes of 30 bits, ratio 0), and then nothing. rest:
    the next fields, as bits in the order in which they are read; all others are 0."""
    bits = "0" + "11" + f"{rows - 1:030b}"[::-1] + "000" + "11" + f"{columns - 1:030b}"[::-1] + rest
    return b"\xff\x0a" + int(bits[::-1], 2).to_bytes(len(bits) // 8 + 1, "little") + bytes(200)


GREY = "0" + "0" + "0" + "00" + "0" + "00" + "0" + "0" + "0" + "10"  # 8 bits, no further channel, colour space 1


def deflated(size: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()


def lies(write: Write) -> dict[str, Reason]:
    """Writes the files whose pixels lie; what each has to become."""
    small, large = np.zeros((16, 16), np.uint16), {"Rows": 8000, "Columns": 8000}
    ljpeg = imagecodecs.jpegls_encode(small)
    undecodable = Reason.UNDECODABLE_PIXELS
    rle = struct.pack("<16L", 2, 64, 66, *[0] * 13) + b"\x81\x00" * 2
    offsets = struct.pack("<16L", 2, 64, 0xFFFFFF00, *[0] * 13) + b"\x81\x00" * 64
    segments = struct.pack("<16L", 15, *range(64, 94, 2)) + b"\x81\x00" * 15
    made: dict[str, tuple[str, bytes, dict[str, Any], Reason]] = {
        "j2k header small, stream large": (syntaxes.JPEG_2000, j2k(30000, 30000), {}, Reason.PIXEL_SIZE_MISMATCH),
        "j2k both large": (syntaxes.JPEG_2000, j2k(8000, 8000), large, Reason.UNDECODABLE_PIXELS),
        "j2k a million tiles": (syntaxes.JPEG_2000, j2k(8000, 8000, tile=8), large, Reason.UNDECODABLE_PIXELS),
        "j2k inside": (
            syntaxes.JPEG_2000,
            b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\x08junk" * 500,
            {},
            Reason.UNDECODABLE_PIXELS,
        ),
        "jpeg": (syntaxes.JPEG_BASELINE, jpeg(65000, 65000), {}, Reason.PIXEL_SIZE_MISMATCH),
        "jpeg zero high": (syntaxes.JPEG_BASELINE, jpeg(0, 16), {}, Reason.PIXEL_SIZE_MISMATCH),
        "jpeg-ls cut": (syntaxes.JPEG_LS_LOSSLESS, ljpeg[:30], {}, Reason.UNDECODABLE_PIXELS),
        "lossless is jpeg-ls": (syntaxes.JPEG_LOSSLESS_SV1, ljpeg, {}, Reason.BLANK_IMAGE),
        "htj2k": (syntaxes.HTJ2K_LOSSLESS, j2k(30000, 30000), {}, Reason.PIXEL_SIZE_MISMATCH),
        "rle short": (syntaxes.RLE, rle, large, Reason.PIXEL_SIZE_MISMATCH),
        "rle offsets": (syntaxes.RLE, offsets, {}, Reason.UNDECODABLE_PIXELS),
        "rle segments": (syntaxes.RLE, segments, {}, Reason.PIXEL_SIZE_MISMATCH),
        "rle long": (
            syntaxes.RLE,
            struct.pack("<16L", 2, 64, 564, *[0] * 13) + b"\x81\x00" * 500,
            {},
            Reason.PIXEL_SIZE_MISMATCH,
        ),
        "rle empty": (syntaxes.RLE, b"", {}, Reason.UNDECODABLE_PIXELS),
        "xl large": (syntaxes.JPEG_XL, jpeg_xl(1 << 29, 1 << 29, GREY), {}, Reason.PIXEL_SIZE_MISMATCH),
        "xl both large": (syntaxes.JPEG_XL, jpeg_xl(8000, 8000, GREY), large, Reason.UNDECODABLE_PIXELS),
        "xl colour": (syntaxes.JPEG_XL, jpeg_xl(16, 16), {}, Reason.PIXEL_SIZE_MISMATCH),
        "xl channels": (syntaxes.JPEG_XL, jpeg_xl(16, 16, "0000" + "00" + "11" + "1" * 12), {}, undecodable),
        "xl animation": (syntaxes.JPEG_XL, jpeg_xl(16, 16, "01" + "000" + "0" + "0" + "1"), {}, undecodable),
        "xl turned": (syntaxes.JPEG_XL, jpeg_xl(16, 16, "01" + "101"), {}, undecodable),
        "xl boxes": (syntaxes.JPEG_XL, b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0\0\0\x08junk" * 500, {}, undecodable),
        "xl endless": (syntaxes.JPEG_XL, b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0\0\0\0junk", {}, undecodable),
        "deflate bomb": (syntaxes.DEFLATED_FRAME, deflated(1 << 30), {}, Reason.PIXEL_SIZE_MISMATCH),
        "deflate short": (syntaxes.DEFLATED_FRAME, deflated(1 << 20), large, Reason.PIXEL_SIZE_MISMATCH),
        "deflate cut": (syntaxes.DEFLATED_FRAME, deflated(1 << 27)[:9000], large, undecodable),
        "deflate noise": (syntaxes.DEFLATED_FRAME, b"\xfe\x17" * 60, {}, undecodable),
        "uncompressed short": (syntaxes.ENCAPSULATED_UNCOMPRESSED, bytes(510), {}, Reason.PIXEL_SIZE_MISMATCH),
        "uncompressed long": (syntaxes.ENCAPSULATED_UNCOMPRESSED, bytes(5120), {}, Reason.PIXEL_SIZE_MISMATCH),
        "not jpeg": (syntaxes.JPEG_BASELINE, b"GIF89a" * 40, {}, Reason.UNDECODABLE_PIXELS),
    }
    for name, (syntax, frame, tags, _) in made.items():
        bits = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7} if syntax == syntaxes.JPEG_BASELINE else {}
        write(name, stored=small, syntax=syntax, frame=frame or b"\0\0", **bits, **tags)
    return {name: reason for name, (*_, reason) in made.items()}


def test_codestreams_that_lie_are_refused_with_the_right_reason(write: Write, intake: Intake) -> None:
    expected = lies(write)
    start = time.perf_counter()
    found = intake(workers=1)
    assert time.perf_counter() - start < SECONDS * 3  # for all of them, and the start of a process
    reasons = {name: answer.reason if isinstance(answer, Skipped) else "scored" for name, answer in found.items()}
    assert reasons == expected
