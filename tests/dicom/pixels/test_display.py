"""Stored values -> display table, rule by rule of PS3.3."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_windowing
from pydicom.uid import ExplicitVRLittleEndian

from mura_batch.dicom.pixels.description import Description, Lut
from mura_batch.dicom.pixels.display import display_table, grey_levels
from mura_batch.dicom.pixels.voi import window
from mura_batch.dicom.refused import Refused
from mura_batch.records import Reason

EIGHT = Description(bits_stored=8, signed=False, photometric="MONOCHROME2")
FLAT = np.ones(256, np.int64)
RAMP = np.arange(256)


def table(description: Description, histogram: np.ndarray = FLAT, voi: str = "auto") -> np.ndarray:
    return grey_levels(display_table(description, histogram, voi)[0])


def flags(description: Description, histogram: np.ndarray = FLAT, voi: str = "auto") -> str:
    return " | ".join(display_table(description, histogram, voi)[1].flags)


def test_without_any_transform_the_full_range_is_shown() -> None:
    assert np.array_equal(table(EIGHT), RAMP)


def test_monochrome1_is_inverted_over_the_nominal_range() -> None:
    dark = np.where(RAMP < 200, 1, 0)  # a picture that never reaches white is not stretched by the inversion
    assert np.array_equal(table(replace(EIGHT, photometric="MONOCHROME1"), dark), 255 - RAMP)


@pytest.mark.parametrize("shape", ["", "IDENTITY", "INVERSE"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_presentation_lut_shape_never_inverts_twice(photometric: str, shape: str) -> None:
    plain = table(replace(EIGHT, photometric=photometric))
    assert np.array_equal(table(replace(EIGHT, photometric=photometric, shape=shape)), plain)
    contradicts = shape == {"MONOCHROME1": "IDENTITY", "MONOCHROME2": "INVERSE"}[photometric]
    assert ("contradicts" in flags(replace(EIGHT, photometric=photometric, shape=shape))) is contradicts


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@given(center=st.floats(-50, 300), width=st.floats(2, 400))
def test_a_window_is_what_pydicom_computes(function: str, center: float, width: float) -> None:
    data = Dataset()  # pydicom 3.0.2 apply_windowing implements the pseudo-code of PS3.3 C.11.2.1.2.1
    data.file_meta = Dataset()  # type: ignore[assignment]
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.PhotometricInterpretation, data.BitsStored, data.PixelRepresentation = "MONOCHROME2", 8, 0
    data.WindowCenter, data.WindowWidth, data.VOILUTFunction = round(center, 6), round(width, 6), function
    expected = apply_windowing(RAMP.astype(np.uint8), data) / 255
    ours = window(RAMP.astype(np.float64), round(center, 6), round(width, 6), function)
    assert np.abs(ours - expected).max() < 1e-6


def test_a_linear_window_of_width_one_is_a_step() -> None:
    assert window(np.array([99.0, 99.5, 99.6, 100.0]), 100, 1, "LINEAR").tolist() == [0, 0, 1, 1]  # C.11.2.1.2.1


def test_rescale_comes_before_the_window() -> None:
    scaled = replace(EIGHT, slope=2.0, intercept=-100.0, windows=((155.5, 511.0),))
    assert np.array_equal(table(scaled), np.rint(np.clip((RAMP * 2.0 - 100 - 155) / 510 + 0.5, 0, 1) * 255))


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"slope": 0.0}, "the modality transform makes all values the same: not applied"),
        ({"windows": ((128, 0),)}, "window width is not usable"),
        ({"windows": ((128, -5),)}, "window width is not usable"),
        ({"windows": ((9000, 10),)}, "window 9000/10 shows nothing"),
        ({"windows": ((128, 256),), "function": "CUBIC"}, "VOI LUT Function 'CUBIC' is not known"),
        ({"voi_lut": Lut(0, 16, (0,) * 256)}, "the VOI LUT shows nothing"),
        ({"voi_lut": Lut(0, 16, tuple(range(256)))}, "the VOI LUT says 16 bits and uses 8"),
    ],
)
def test_an_unusable_transform_is_flagged_and_the_picture_shown(change: dict[str, Any], flag: str) -> None:
    assert flag in flags(replace(EIGHT, **change))
    shown = table(replace(EIGHT, **change))
    assert shown.max() == 255
    assert shown.min() == 0


def test_the_first_usable_window_is_taken() -> None:
    made = display_table(replace(EIGHT, windows=((10, 0), (128, 100), (50, 50))), FLAT, "auto")[1]
    assert (made.voi, made.center, made.width) == ("window linear", 128, 100)


@pytest.mark.parametrize(
    ("voi", "words"),
    [("auto", "window linear"), ("window", "window linear"), ("lut", "voi lut"), ("percentiles", "percentiles")],
)
def test_the_site_chooses_between_window_and_lut(voi: str, words: str) -> None:
    both = replace(EIGHT, windows=((128, 256),), voi_lut=Lut(0, 8, tuple(range(255, -1, -1))))
    assert display_table(both, FLAT, voi)[1].voi == words


def test_a_choice_that_the_file_cannot_give_is_flagged() -> None:
    assert flags(EIGHT, voi="lut") == "no lut in the file: window taken from percentiles"


def test_a_lut_extends_its_ends() -> None:
    shown = table(replace(EIGHT, voi_lut=Lut(100, 8, tuple(range(0, 256, 5)))))  # 52 entries: 100 to 151
    assert shown[0] == shown[100] == 0
    assert shown[151] == shown[255] == 255


def test_a_modality_lut_of_a_fluoroscopy_image_is_not_applied() -> None:
    lut = Lut(0, 8, tuple(range(255, -1, -1)))
    assert np.array_equal(table(replace(EIGHT, modality_lut=lut)), 255 - RAMP)
    assert np.array_equal(table(replace(EIGHT, modality_lut=lut, is_xrf=True)), RAMP)  # PS3.3 C.8.7.1.1.2


def test_padding_is_black_and_decides_no_percentile() -> None:
    counts = np.zeros(256, np.int64)
    counts[50:101], counts[255] = 1, 1000
    padded = replace(EIGHT, padding=(255, 255))
    shown = table(padded, counts, "percentiles")
    assert shown[255] == 0
    assert shown[50] < 3
    assert shown[100] > 252
    assert table(EIGHT, counts, "percentiles")[100] < 64  # without the tag the collimator decides


def test_a_narrow_picture_without_a_window_gets_percentiles() -> None:
    counts = np.zeros(4096, np.int64)
    counts[160:640] = 1
    assert display_table(replace(EIGHT, bits_stored=12), counts, "auto")[1].voi == "percentiles"


def test_a_narrow_8_bit_picture_keeps_its_full_range() -> None:
    """Its values are grey levels already (PS3.3 C.11.2.1), and training shows them as they are."""
    counts = np.zeros(256, np.int64)
    counts[10:40] = 1
    assert np.array_equal(table(EIGHT, counts), RAMP)


def test_signed_values_are_twos_complement_of_the_stored_bits() -> None:
    signed = Description(bits_stored=12, signed=True, photometric="MONOCHROME2")
    shown = table(signed, np.ones(4096, np.int64))
    assert shown[0x800] == 0  # -2048
    assert shown[0x7FF] == 255  # 2047


def test_one_value_is_a_blank_picture() -> None:
    counts = np.zeros(256, np.int64)
    counts[7] = 1000
    with pytest.raises(Refused) as refused:
        table(EIGHT, counts)
    assert refused.value.reason is Reason.BLANK_IMAGE


HEADERS = st.builds(
    Description,
    bits_stored=st.integers(2, 12),
    signed=st.booleans(),
    photometric=st.sampled_from(["MONOCHROME1", "MONOCHROME2"]),
    slope=st.floats(-4, 4),
    intercept=st.floats(-5000, 5000),
    windows=st.lists(st.tuples(st.floats(-5000, 5000), st.floats(-10, 5000)), max_size=2).map(tuple),
    function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID", "?"]),
)


@given(given_=HEADERS, seed=st.integers(0, 99))
def test_every_header_gives_a_picture_that_shows_something(given_: Description, seed: int) -> None:
    counts = np.random.default_rng(seed).integers(1, 100, 1 << given_.bits_stored)
    brightness, made = display_table(given_, counts, "auto")
    shown = grey_levels(brightness)
    assert shown.dtype == np.uint8
    assert int(shown.max()) - int(shown.min()) >= 1
    assert made.polarity == ("inverted" if given_.photometric == "MONOCHROME1" else "as stored")
