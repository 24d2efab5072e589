"""One file -> display image: the real decode path, on files of other projects and on twins made here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from mura_batch.dicom import syntax as syntaxes
from mura_batch.dicom.header.layout import Layout
from mura_batch.dicom.pixels.codecs import MIN_OVERSAMPLING, decode_frame
from mura_batch.dicom.pixels.decode import decode
from mura_batch.dicom.pixels.encapsulation import Encapsulated
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.syntax import CODECS
from mura_batch.dicom.write.radiograph import encode_frame
from mura_batch.preprocess import InputSpec, preprocess
from mura_batch.records import PixelDecisions

Write = Callable[..., Path]
Grey = NDArray[np.uint8]
POLICY = IntakePolicy()


def shown(path: Path, policy: IntakePolicy = POLICY, target: int = 0) -> Grey:
    return decode(path.read_bytes(), policy, target)[0]


def decisions(path: Path, policy: IntakePolicy = POLICY, target: int = 0) -> PixelDecisions:
    return decode(path.read_bytes(), policy, target)[2]


# David Clunie's greyscale conformance set, by way of pydicom's test files: the same picture through different LUTs. The
# last row is a ramp of the stored values: in vlut_10, whose LUT inverts, it is another picture than in the others.
@pytest.mark.parametrize(
    ("name", "rows"),
    [(name, 512) for name in ("mlut_11", "mlut_18", "vlut_02", "vlut_04", "vlut_05")] + [("vlut_10", 511)],
)
def test_the_grayscale_conformance_set_shows_one_picture(shared_dicom: Path, name: str, rows: int) -> None:
    folder = shared_dicom / "lut_oracle_clunie"
    reference = shown(folder / "mlut_01.dcm")[:rows].astype(int)
    assert np.abs(shown(folder / f"{name}.dcm")[:rows] - reference).max() <= 1


def test_a_fractional_window_is_applied_as_the_standard_computes(shared_dicom: Path) -> None:
    """vlut_03 maps 25..75 to the full range: PS3.3 C.11.2.1.2.1 with centre 50.5 and width 51, computed here by
    hand."""
    folder = shared_dicom / "lut_oracle_clunie"
    known = {"mlut_01", "mlut_11", "mlut_18", "vlut_02", "vlut_03", "vlut_04", "vlut_05", "vlut_10"}
    assert {path.stem for path in folder.iterdir()} == known
    raw = np.frombuffer((folder / "vlut_03.dcm").read_bytes()[-512 * 512 :], np.uint8).reshape(512, 512)
    expected = np.rint(np.clip((raw - 50.0) / 50 + 0.5, 0, 1) * 255)
    assert np.array_equal(shown(folder / "vlut_03.dcm"), expected)


@pytest.mark.parametrize("twin", ["JLSL", "JPLL"])
def test_lossless_syntaxes_show_one_radiograph_alike(shared_dicom: Path, twin: str) -> None:
    folder = shared_dicom / "radiograph_skip_bodypart"
    assert np.array_equal(shown(folder / "cr_tibia_RG3_J2KR"), shown(folder / f"cr_tibia_RG3_{twin}"))


@pytest.mark.parametrize("twin", ["J2KI", "JLSN"])
def test_its_lossy_versions_are_close(shared_dicom: Path, twin: str) -> None:
    folder = shared_dicom / "radiograph_skip_bodypart"
    difference = np.abs(shown(folder / "cr_tibia_RG3_J2KR").astype(int) - shown(folder / f"cr_tibia_RG3_{twin}"))
    assert difference.mean() < 2


def test_a_12_bit_extended_jpeg_is_read(shared_dicom: Path) -> None:
    """Its scan header is wrong, says the manifest; libjpeg-turbo in imagecodecs reads it, and it is the same
    radiograph."""
    reference = shown(shared_dicom / "radiograph_skip_bodypart" / "cr_tibia_RG3_J2KR").astype(int)
    assert np.abs(shown(shared_dicom / "unreadable_pixels" / "cr_tibia_RG3_JPLY_12bit") - reference).mean() < 0.5


LOSSLESS = sorted(
    syntaxes.NATIVE
    | {
        syntaxes.JPEG_2000_LOSSLESS,
        syntaxes.JPEG_LS_LOSSLESS,
        syntaxes.JPEG_LOSSLESS_SV1,
        syntaxes.RLE,
        syntaxes.HTJ2K_LOSSLESS,
        syntaxes.JPEG_XL_LOSSLESS,
        syntaxes.DEFLATED_FRAME,
        syntaxes.ENCAPSULATED_UNCOMPRESSED,
    }
)


@pytest.mark.parametrize("syntax", LOSSLESS)
@pytest.mark.parametrize("bits", [8, 16])
def test_every_lossless_syntax_shows_the_same_picture_bit_for_bit(
    write: Write, limb: NDArray[Any], syntax: str, bits: int
) -> None:
    stored = (limb >> 4).astype(np.uint8) if bits == 8 else limb << 4
    tags = {"BitsStored": bits, "HighBit": bits - 1, "WindowCenter": 2 ** (bits - 1), "WindowWidth": 2**bits}
    plain = shown(write("plain", stored=stored, **tags))
    assert np.array_equal(shown(write("twin", stored=stored, syntax=syntax, **tags)), plain)
    assert plain.std() > 20


def test_big_endian_words_of_two_samples_are_swapped(write: Write, limb: NDArray[Any]) -> None:
    """PS3.5 A.3: OW is a row of words, also where each holds two samples of 8 bits; the shape is odd to show the
    end."""
    stored = np.ascontiguousarray((limb >> 4).astype(np.uint8)[:-1, :-1])
    raw = stored.tobytes() + b"\0" * (stored.size % 2)
    swapped = np.frombuffer(raw, "<u2").byteswap().tobytes()
    path = write("big", stored=stored, syntax=syntaxes.EXPLICIT_BE, frame=swapped)
    path.write_bytes(path.read_bytes().replace(b"\x7f\xe0\0\x10OB", b"\x7f\xe0\0\x10OW"))
    assert np.array_equal(shown(path), shown(write("little", stored=stored)))


def test_monochrome_twins_show_the_same_picture(write: Write, limb: NDArray[Any]) -> None:
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    two = shown(write("two", **window))
    one = shown(write("one", stored=4095 - limb, PhotometricInterpretation="MONOCHROME1", **window))
    shaped = write(
        "s", stored=4095 - limb, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE", **window
    )
    # LINEAR is not symmetric about its centre (PS3.3 C.11.2.1.2.1): half a value, a thirty-second of a grey level.
    assert np.abs(two.astype(int) - one).max() <= 1
    assert np.array_equal(one, shown(shaped))
    assert decisions(shaped).polarity == "inverted"


def test_signed_and_unsigned_twins_show_the_same_picture(write: Write, limb: NDArray[Any]) -> None:
    unsigned = shown(write("u", RescaleSlope=1, RescaleIntercept=-2048, WindowCenter=0, WindowWidth=3000))
    signed = write("s", stored=limb.astype(np.int16) - 2048, WindowCenter=0, WindowWidth=3000)
    assert np.array_equal(shown(signed), unsigned)


def test_bits_above_high_bit_are_masked(write: Write, limb: NDArray[Any]) -> None:
    plain = shown(write("plain"))
    overlay = np.where(limb % 7 == 0, limb | 0xA000, limb).astype(np.uint16)  # an overlay in the upper bits
    assert np.array_equal(shown(write("overlay", stored=overlay)), plain)
    assert np.array_equal(shown(write("shifted", stored=limb << 4, HighBit=15)), plain)


def test_padding_is_black_whatever_its_sign_and_vr(write: Write, limb: NDArray[Any]) -> None:
    stored = limb.astype(np.int16) - 2048
    stored[:40] = -2000
    path = write("a", stored=stored, PixelPaddingValue=-2000)
    path.write_bytes(path.read_bytes().replace(b"\x28\0\x20\1SS", b"\x28\0\x20\1US"))  # 63536, as devices write it
    image = shown(path)
    assert (image[:40] == 0).all()
    assert image[41:].max() > 200
    assert decisions(write("b", stored=stored, PixelPaddingValue=-2000)).voi in {"percentiles", "full range"}


def test_collimated_borders_do_not_decide_the_window(write: Write, limb: NDArray[Any]) -> None:
    stored = (limb // 8 + 1000).astype(np.uint16)
    stored[:60], stored[:, 130:] = 4095, 4095
    edges = {
        "CollimatorLeftVerticalEdge": 0,
        "CollimatorRightVerticalEdge": 130,
        "CollimatorUpperHorizontalEdge": 60,
        "CollimatorLowerHorizontalEdge": 200,
    }
    percentiles = IntakePolicy(voi="percentiles")
    open_ = shown(write("a", stored=stored), percentiles)[60:, :130]
    with_edges = shown(write("b", stored=stored, CollimatorShape="RECTANGULAR", **edges), percentiles)[60:, :130]
    assert with_edges.std() > 3 * open_.std()


@pytest.mark.parametrize(
    ("tags", "aspect"),
    [
        ({}, 1.0),
        ({"PixelAspectRatio": ["2", "1"]}, 2.0),  # vertical first (PS3.3 C.7.6.3.1.7)
        ({"PixelSpacing": ["0.2", "0.1"]}, 2.0),
        ({"ImagerPixelSpacing": ["0.1", "0.2"]}, 0.5),
        ({"NominalScannedPixelSpacing": ["0.2", "0.1"]}, 2.0),
        ({"PixelAspectRatio": ["0", "1"]}, 1.0),
    ],
)
def test_pixels_that_are_not_square_keep_their_shape(write: Write, tags: dict[str, Any], aspect: float) -> None:
    assert decisions(write("a", **tags)).pixel_aspect == aspect


@pytest.mark.parametrize(
    ("name", "square"), [("aspect05", False), ("aspect06", True), ("aspect10", True), ("aspect12", True)]
)
def test_the_shared_pictures_with_flat_pixels_come_out_square(shared_dicom: Path, name: str, square: bool) -> None:
    """OFFIS' test images: 256 x 341 of pixels 4:3, which is as high as wide. aspect05 does not tell its ratio."""
    image, aspect, _ = decode((shared_dicom / "pixel_aspect_ratio" / f"{name}.dcm").read_bytes(), POLICY, 0)
    assert (abs(image.shape[0] * aspect / image.shape[1] - 1) < 0.01) is square


def lut(entries: list[int], count: int) -> Sequence:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [count, 0, 12])
    item.add_new("LUTData", "US", entries)
    return Sequence([item])


def test_both_window_and_lut_present_the_window_comes_first(write: Write) -> None:
    path = write("a", WindowCenter=2048, WindowWidth=4096, VOILUTSequence=lut(list(range(4095, -1, -1)), 4096))
    assert decisions(path).voi == "window linear"
    assert decisions(path, IntakePolicy(voi="lut")).voi == "voi lut"


def test_a_damaged_lut_is_flagged_and_the_picture_shown(write: Write) -> None:
    made = decisions(write("a", VOILUTSequence=lut([1, 2, 3], 4096)))
    assert "VOILUTSequence is damaged" in made.flags
    assert made.voi != "voi lut"


def test_the_same_file_gives_the_same_input_at_any_place(write: Write) -> None:
    assert np.array_equal(shown(write("a/b/c", PatientID="1"), target=64), shown(write("z", PatientID="2"), target=64))


# The fast path (a reduced JPEG 2000 or JPEG) against the full one, on real radiographs enlarged to full size.


def full_size(image: Path, longer: int) -> NDArray[np.uint16]:
    """[H, W] uint16 of 12 bits: the picture enlarged, with the noise of a detector, which a wavelet has to cope
    with."""
    with Image.open(image) as opened:
        grey = opened.convert("L")
    scale = longer / max(grey.size)
    large = np.asarray(grey.resize((round(grey.width * scale), round(grey.height * scale)), Image.Resampling.BICUBIC))
    noise = np.random.default_rng(1).normal(0, 12, large.shape)
    return np.clip(large * 16.0 + noise, 0, 4095).astype(np.uint16)


@pytest.mark.parametrize(
    ("syntax", "longer", "reduction"),
    [
        (syntaxes.JPEG_2000_LOSSLESS, 2500, 4),
        (syntaxes.JPEG_2000_LOSSLESS, 1925, 4),  # as few samples as MIN_OVERSAMPLING allows
        (syntaxes.JPEG_2000_LOSSLESS, 1900, 2),
        (syntaxes.JPEG_BASELINE, 2500, 4),
    ],
)
def test_a_reduced_decode_gives_the_model_the_same_picture(
    write: Write, fracatlas: Path, syntax: str, longer: int, reduction: int
) -> None:
    spec, differences = InputSpec(), []
    for number, image in enumerate(sorted((fracatlas / "images").iterdir())[100:3400:660]):
        stored: NDArray[Any] = full_size(image, longer)
        bits = {"WindowCenter": 2048, "WindowWidth": 4096}
        if CODECS[syntax] == "jpeg":
            stored, bits = (stored >> 4).astype(np.uint8), {"WindowCenter": 128, "WindowWidth": 256}
        data = write(f"{number}", stored=stored, syntax=syntax, **bits).read_bytes()
        fast, aspect, made = decode(data, POLICY, spec.size)
        full, _, whole = decode(data, POLICY, 0)
        assert (made.reduction, whole.reduction) == (reduction, 1)
        differences.append(np.abs(preprocess(fast, spec, aspect).astype(int) - preprocess(full, spec)))
    pooled = np.stack(differences)
    assert pooled.mean() < 0.5  # grey levels
    assert np.percentile(pooled, 99.9) < 4


@pytest.mark.parametrize(("reduction", "period"), [(2, 8), (4, 16), (8, 32)])
def test_a_reduced_wave_is_no_higher_than_the_whole_one(reduction: int, period: int) -> None:
    """The 5/3 wavelet makes a wave of four samples a period 10 to 15 % higher than it is."""
    columns = 4096
    wave = 2048 + 1000 * np.cos(2 * np.pi * np.arange(columns) / period)
    stored = np.tile(np.rint(wave).astype(np.uint16), (64, 1))
    stream = encode_frame(stored, syntaxes.JPEG_2000_LOSSLESS, 12)
    layout = Layout(
        64, columns, bits_allocated=16, bits_stored=12, high_bit=11, signed=False, photometric="MONOCHROME2"
    )
    frame = decode_frame(Encapsulated(stream, True, ()), "jpeg 2000", layout, target=round(columns / reduction / 2))
    assert frame.grid.reduction == reduction
    values = frame.stored
    amplitude = 2 * np.abs(np.fft.rfft(values[4] - values[4].mean())).max() / values.shape[1]
    assert amplitude == pytest.approx(1000, rel=0.02)


def test_a_reduced_picture_keeps_its_shape(write: Write) -> None:
    """1441 x 1800: a quarter of it is 361 x 450, which alone would be fitted one pixel wider."""
    stored = np.add.outer(np.arange(1800), np.arange(1441)).astype(np.uint16)
    data = write("a", stored=stored, syntax=syntaxes.JPEG_2000_LOSSLESS).read_bytes()
    spec = InputSpec(size=200)
    fast, aspect, made = decode(data, POLICY, spec.size)
    assert made.reduction == 4
    edges = [np.flatnonzero(preprocess(*given).max(axis=0))[[0, -1]].tolist() for given in
             ((fast, spec, aspect), (decode(data, POLICY, 0)[0], spec))]  # fmt: skip
    assert edges[0] == edges[1]


@pytest.mark.parametrize("shape", [(2053, 2500), (1999, 1601), (1801, 1479), (1760, 1761)])
def test_odd_sizes_are_reduced_too(write: Write, shape: tuple[int, int]) -> None:
    """Pillow 12 rounds a reduced size that the codec rounds up, and calls such a stream broken."""
    stored = np.add.outer(np.arange(shape[0]), np.arange(shape[1])).astype(np.uint16) % 4096
    for syntax, kept in (
        (syntaxes.JPEG_2000_LOSSLESS, stored),
        (syntaxes.JPEG_BASELINE, (stored >> 4).astype(np.uint8)),
    ):
        made = decisions(write("a", stored=kept, syntax=syntax), target=128)
        eighth = max(shape) >= 8 * MIN_OVERSAMPLING[CODECS[syntax]] * 128
        assert (made.reduction, made.decoder[:6]) == (8 if eighth else 4, "pillow")


def test_pillow_returns_ten_bit_samples_unchanged(write: Write, limb: NDArray[Any]) -> None:
    stored = np.kron(limb >> 2, np.ones((8, 8), np.uint16))
    path = write("a", stored=stored, syntax=syntaxes.JPEG_2000_LOSSLESS, BitsStored=10, HighBit=9)
    reduced = decode(path.read_bytes(), POLICY, 100)
    assert reduced[2].decoder == "pillow:jpeg2000"
    again = imagecodecs.jpeg2k_decode(imagecodecs.jpeg2k_encode(stored, level=0, reversible=True, codecformat="j2k"))
    assert np.array_equal(again, stored)
    difference = np.abs(
        preprocess(reduced[0], InputSpec(size=100), reduced[1]).astype(int)
        - preprocess(shown(path), InputSpec(size=100))
    )
    assert difference.mean() < 0.5
