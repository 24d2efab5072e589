"""Encapsulated pixel data as exports write them: missing delimiters, tables and end markers, and other codestreams than
the transfer syntax says. Each is shown as its reference, flagged, or refused where a part is missing."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray

from mura_batch.dicom import syntax as syntaxes
from mura_batch.dicom.pixels.decode import decode
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.refused import Refused
from mura_batch.dicom.write.radiograph import encode_frame
from mura_batch.records import Instance, PixelDecisions, Reason

Write = Callable[..., Path]
Grey = NDArray[np.uint8]
POLICY = IntakePolicy()
DELIMITER = b"\xfe\xff\xdd\xe0\0\0\0\0"
ITEM = b"\xfe\xff\x00\xe0"
NO_DELIMITER = "Pixel Data ends without a Sequence Delimitation Item (FFFE,E0DD)"


def picture(path: Path, target: int = 0) -> tuple[Grey, PixelDecisions]:
    shown, _, decisions = decode(path.read_bytes(), POLICY, target)
    return shown, decisions


def refusal(path: Path, target: int = 0) -> Reason:
    with pytest.raises(Refused) as refused:
        decode(path.read_bytes(), POLICY, target)
    return refused.value.reason


def change(path: Path, how: Callable[[bytes], bytes]) -> Path:
    path.write_bytes(how(path.read_bytes()))
    return path


def without_delimiter(data: bytes) -> bytes:
    return data[: data.rindex(DELIMITER)]


SYNTAXES = [
    syntaxes.JPEG_LOSSLESS_SV1,
    syntaxes.JPEG_LS_LOSSLESS,
    syntaxes.JPEG_2000_LOSSLESS,
    syntaxes.HTJ2K_LOSSLESS,
    syntaxes.JPEG_XL_LOSSLESS,
    syntaxes.RLE,
    syntaxes.DEFLATED_FRAME,
    syntaxes.ENCAPSULATED_UNCOMPRESSED,
]


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("rest", [b"", bytes(4), bytes(40), b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0"])
def test_whole_fragments_without_a_delimiter_are_read(write: Write, syntax: str, rest: bytes) -> None:
    """dcm4che and DCMTK trackers: writers that end the file behind the last fragment."""
    plain, _ = picture(write("plain", syntax=syntax))
    shown, decisions = picture(change(write("a", syntax=syntax), lambda data: without_delimiter(data) + rest))
    assert np.array_equal(shown, plain)
    assert (NO_DELIMITER in decisions.flags) is (not rest.startswith(b"\xfe\xff\xdd\xe0"))


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("cut", [30, 4000])
def test_a_file_cut_inside_its_fragment_is_truncated(write: Write, syntax: str, cut: int) -> None:
    path = change(write("a", syntax=syntax), lambda data: without_delimiter(data)[:-cut])
    assert refusal(path) is Reason.TRUNCATED


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("delimited", [True, False])
def test_a_codestream_cut_short_in_a_whole_fragment_is_refused(
    write: Write, limb: NDArray[Any], syntax: str, delimited: bool
) -> None:
    """libjpeg and OpenJPH return a picture whose lower half is grey or noise, without an error."""
    whole = write("whole", syntax=syntax).read_bytes()
    at = whole.index(ITEM, whole.index(b"\xe0\x7f\x10\x00OB") + 20)  # behind the Basic Offset Table
    length = struct.unpack_from("<L", whole, at + 4)[0] // 4 * 2
    half = whole[at + 8 : at + 8 + length]
    data = whole[:at] + ITEM + struct.pack("<L", length) + half + (DELIMITER if delimited else b"")
    path = write("cut", syntax=syntax)
    path.write_bytes(data)
    expected = {Reason.UNDECODABLE_PIXELS, Reason.PIXEL_SIZE_MISMATCH, Reason.TRUNCATED}
    assert refusal(path) in expected
    assert refusal(path, target=32) in expected


def test_a_cut_baseline_jpeg_is_refused_reduced_or_not(write: Write, limb: NDArray[Any]) -> None:
    code = imagecodecs.jpeg8_encode((np.kron(limb, np.ones((4, 4), np.uint16)) >> 4).astype(np.uint8), level=95)
    stored = np.zeros((800, 640), np.uint8)
    for cut in (len(code) // 2, 200):
        path = write("a", stored=stored, syntax=syntaxes.JPEG_BASELINE, frame=code[: -cut // 2 * 2])
        assert refusal(path) is Reason.UNDECODABLE_PIXELS
        assert refusal(path, target=100) is Reason.UNDECODABLE_PIXELS


@pytest.mark.parametrize(
    "syntax", [syntaxes.JPEG_LOSSLESS_SV1, syntaxes.JPEG_LS_LOSSLESS, syntaxes.JPEG_2000_LOSSLESS,
               syntaxes.HTJ2K_LOSSLESS]
)  # fmt: skip
@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("delimited", [False, True])
def test_a_missing_end_marker_is_put_back(write: Write, syntax: str, odd: bool, delimited: bool) -> None:
    whole = write("whole", syntax=syntax)
    plain, _ = picture(whole)
    data = whole.read_bytes()
    at = data.index(ITEM, data.index(b"\xe0\x7f\x10\x00OB") + 20) + 8
    code = data[at : data.rindex(b"\xff\xd9")] + (b"\0" if odd else b"")
    path = write("a", syntax=syntax, frame=code + b"\0" * (len(code) % 2))
    shown, decisions = picture(path if delimited else change(path, without_delimiter))
    assert np.array_equal(shown, plain)
    assert any("has no end marker" in flag for flag in decisions.flags)


def test_a_first_item_that_is_no_offset_table_is_read(write: Write) -> None:
    plain, _ = picture(write("plain", syntax=syntaxes.JPEG_LOSSLESS_SV1))
    table = ITEM + struct.pack("<L", 4) + bytes(4)
    path = change(write("a", syntax=syntaxes.JPEG_LOSSLESS_SV1), lambda data: data.replace(table + ITEM, ITEM, 1))
    shown, decisions = picture(path)
    assert np.array_equal(shown, plain)
    assert decisions.flags == ("Pixel Data has no Basic Offset Table",)


def streams(limb: NDArray[Any]) -> dict[str, bytes]:
    """One picture of 12 bits in every lossless codestream."""
    return {
        "jpeg lossless": bytes(imagecodecs.ljpeg_encode(limb, bitspersample=12)),
        "jpeg-ls": bytes(imagecodecs.jpegls_encode(limb)),
        "jpeg 2000": bytes(imagecodecs.jpeg2k_encode(limb, level=0, codecformat="j2k", bitspersample=12)),
        "htj2k": bytes(imagecodecs.htj2k_encode(limb)),
        "jpeg xl": bytes(imagecodecs.jpegxl_encode(limb, lossless=True, bitspersample=12)),
    }


@pytest.mark.parametrize(
    "syntax",
    [
        syntaxes.JPEG_BASELINE,
        syntaxes.JPEG_LOSSLESS_SV1,
        syntaxes.JPEG_LS_LOSSLESS,
        syntaxes.JPEG_2000_LOSSLESS,
        syntaxes.HTJ2K_LOSSLESS,
        syntaxes.JPEG_XL_LOSSLESS,
    ],
)
def test_the_first_bytes_decide_on_the_codec(write: Write, limb: NDArray[Any], syntax: str) -> None:
    plain, _ = picture(write("plain"))
    for codec, stream in streams(limb).items():
        shown, decisions = picture(write("a", syntax=syntax, frame=stream))
        assert np.array_equal(shown, plain), codec
        declared = syntaxes.CODECS[syntax]
        expected = () if declared == codec else (f"the codestream is {codec}, the Transfer Syntax says {declared}",)
        assert decisions.flags == expected


@pytest.mark.parametrize("syntax", [syntaxes.RLE, syntaxes.DEFLATED_FRAME, syntaxes.ENCAPSULATED_UNCOMPRESSED])
def test_a_codestream_under_a_syntax_without_one_is_read(write: Write, limb: NDArray[Any], syntax: str) -> None:
    plain, _ = picture(write("plain"))
    shown, decisions = picture(write("a", syntax=syntax, frame=streams(limb)["jpeg 2000"]))
    assert np.array_equal(shown, plain)
    assert decisions.flags == (f"the codestream is jpeg 2000, the Transfer Syntax says {syntaxes.CODECS[syntax]}",)


RETIRED = ["1.2.840.10008.1.2.4.55", "1.2.840.10008.1.2.4.59", "1.2.840.10008.1.2.4.92", "1.3.46.670589.33.1.4.1"]


@pytest.mark.parametrize("unknown", RETIRED)  # progressive and lossless JPEG, JPEG 2000 part 2, a maker's own
@pytest.mark.parametrize("syntax", [syntaxes.JPEG_LOSSLESS_SV1, syntaxes.JPEG_LS_LOSSLESS, syntaxes.JPEG_2000_LOSSLESS])
def test_a_codestream_under_an_unknown_syntax_is_read(
    write: Write, header: Callable[..., Any], unknown: str, syntax: str
) -> None:
    reference, _ = picture(write("reference"))
    path = under(write("a", syntax=syntax), syntax, unknown)
    assert isinstance(header(path), Instance)
    shown, decisions = picture(path)
    assert np.array_equal(shown, reference)
    assert any(f"the Transfer Syntax says {unknown}" in flag for flag in decisions.flags)


def test_what_is_no_codestream_under_an_unknown_syntax_is_refused(write: Write) -> None:
    for name, frame in (("video", b"\0\0\1\xb3" + bytes(4000)), ("as long as a frame", bytes(64_000))):
        path = write(name, syntax=syntaxes.JPEG_BASELINE, frame=frame)
        under(path, syntaxes.JPEG_BASELINE, "1.2.840.10008.1.2.4.100")
        assert refusal(path) is Reason.UNSUPPORTED_SYNTAX


def under(path: Path, syntax: str, other: str) -> Path:
    """The file with another Transfer Syntax UID of whatever length; the group length of its meta does not matter."""
    old, new = (uid.encode() + b"\0" * (len(uid) % 2) for uid in (syntax, other))
    head = b"\x02\0\x10\0UI"
    data = path.read_bytes()
    written = head + struct.pack("<H", len(old)) + old
    assert written in data
    path.write_bytes(data.replace(written, head + struct.pack("<H", len(new)) + new, 1))
    return path


@pytest.mark.parametrize("syntax", [syntaxes.RLE, syntaxes.ENCAPSULATED_UNCOMPRESSED])
def test_a_frame_without_header_under_a_compressed_syntax_is_read(write: Write, syntax: str) -> None:
    reference, _ = picture(write("reference"))
    shown, decisions = picture(under(write("a", syntax=syntax), syntax, syntaxes.JPEG_LOSSLESS_SV1))
    assert np.array_equal(shown, reference)
    assert any("the Transfer Syntax says jpeg lossless" in flag for flag in decisions.flags)


@pytest.mark.parametrize(("zeros", "read"), [(2, True), (10, True), (400, False)])
def test_a_few_zeros_behind_the_last_rle_segment_are_padding(
    write: Write, limb: NDArray[Any], zeros: int, read: bool
) -> None:
    frame = encode_frame(limb, syntaxes.RLE, 12) + bytes(zeros)
    path = write("a", syntax=syntaxes.RLE, frame=frame)
    if read:
        assert np.array_equal(picture(path)[0], picture(write("reference"))[0])
    else:
        assert refusal(path) is Reason.PIXEL_SIZE_MISMATCH


def test_a_zlib_header_before_a_deflated_frame_is_stepped_over(write: Write, limb: NDArray[Any]) -> None:
    reference, _ = picture(write("reference"))
    shown, _ = picture(write("a", syntax=syntaxes.DEFLATED_FRAME, frame=zlib.compress(limb.tobytes())))
    assert np.array_equal(shown, reference)


def test_fragments_under_a_native_syntax_are_read(write: Write, header: Callable[..., Any]) -> None:
    """Of undefined length, and of a defined one that is no size of the picture."""
    plain, _ = picture(write("plain"))
    native, jpeg = syntaxes.EXPLICIT_LE.encode() + b"\0", syntaxes.JPEG_LOSSLESS_SV1.encode()
    path = write("a", syntax=syntaxes.JPEG_LOSSLESS_SV1)
    change(path, lambda data: data.replace(jpeg, native + bytes(len(jpeg) - len(native)), 1))
    shown, decisions = picture(path)
    assert np.array_equal(shown, plain)
    assert decisions.flags == ("the codestream is jpeg lossless, the Transfer Syntax says native",)

    def with_length(data: bytes) -> bytes:
        at = data.index(b"\xe0\x7f\x10\x00OB") + 8
        return data[:at] + struct.pack("<L", len(data) - at - 4) + data[at + 4 :]

    assert np.array_equal(picture(change(path, with_length))[0], plain)
    assert not hasattr(header(path), "reason")


def test_native_pixels_under_a_compressed_syntax_are_read(write: Write, limb: NDArray[Any]) -> None:
    plain = write("plain")
    native, jpeg = syntaxes.EXPLICIT_LE.encode() + b"\0", syntaxes.JPEG_BASELINE.encode()
    shown, decisions = picture(
        change(write("a"), lambda data: data.replace(b"\x14\0" + native, struct.pack("<H", len(jpeg)) + jpeg, 1))
    )
    assert np.array_equal(shown, picture(plain)[0])
    assert decisions.flags == ("native pixel data under a Transfer Syntax of jpeg",)


@pytest.mark.parametrize("extra", [2, 3, 16, 318])
def test_a_few_bytes_behind_the_frame_are_padding(write: Write, limb: NDArray[Any], extra: int) -> None:
    plain, _ = picture(write("plain"))
    shown, decisions = picture(write("a", frame=limb.tobytes() + bytes(extra)))
    assert np.array_equal(shown, plain)
    assert decisions.flags == (f"{extra + extra % 2} bytes behind the frame in Pixel Data (7FE0,0010)",)


@pytest.mark.parametrize("extra", [320, 400])
def test_a_further_row_or_column_is_another_size(write: Write, limb: NDArray[Any], extra: int) -> None:
    """160 columns of two bytes: a row more, or with 200 rows a column more, would be a picture of another shape."""
    assert refusal(write("a", frame=limb.tobytes() + bytes(extra))) is Reason.PIXEL_SIZE_MISMATCH
