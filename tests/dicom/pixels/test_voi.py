"""Windows and VOI LUTs that show nothing of the picture, and those that were written for other values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mura_batch.dicom.pixels.description import Description, Lut
from mura_batch.dicom.pixels.display import Rendering, display_table

TWELVE = Description(bits_stored=12, signed=False, photometric="MONOCHROME2")


def counts(low: int, high: int, black: float = 0.0, size: int = 4096) -> np.ndarray:
    """[size] a picture whose values spread evenly from low to high, with a share of background at 0."""
    found = np.zeros(size, np.int64)
    found[low : high + 1] = 100
    found[0] = int(black / (1 - black) * found.sum())
    return found


def rendering(d: Description, histogram: np.ndarray, voi: str = "auto") -> Rendering:
    return display_table(d, histogram, voi)[1]


@pytest.mark.parametrize(
    ("why", "center", "width"),
    [
        ("86 % white, 28 grey levels", 650, 20),
        ("5 grey levels", 30_000, 100_000),
        ("all but the darkest is white", 300, 700),
        ("of 8 bits over 12", 128, 256),
        ("nearly black", 6000, 11_000),
        ("black", 4000, 100),
        ("a tenth of the values", 700, 200),
    ],
)
def test_a_window_that_shows_nothing_is_not_used(why: str, center: float, width: float) -> None:
    found = rendering(replace(TWELVE, windows=((center, width),)), counts(600, 3200))
    assert found.voi == "percentiles", why
    assert found.flags == (f"window {center:g}/{width:g} shows nothing", "window taken from percentiles")


@pytest.mark.parametrize(
    ("why", "center", "width", "histogram"),
    [
        ("the full range", 2048, 4096, counts(600, 3200)),
        ("a picture of low contrast in the full range", 2048, 4096, counts(1000, 2100)),
        ("bone", 2500, 1500, counts(600, 3200)),
        ("soft tissue", 1200, 900, counts(600, 3200)),
        ("a finger before much background", 2500, 2000, counts(600, 3200, black=0.9)),
    ],
)
def test_a_window_that_shows_the_picture_is_used(why: str, center: float, width: float, histogram: np.ndarray) -> None:
    found = rendering(replace(TWELVE, windows=((center, width),)), histogram)
    assert (found.voi, found.flags) == ("window linear", ()), why


@pytest.mark.parametrize(
    ("bits", "center", "width", "factor"),
    [(12, 32_768, 65_536, 16), (12, 32_767, 65_535, 16), (12, 8192, 16_384, 4), (10, 32_768, 65_536, 64),
     (14, 32_768, 65_536, 4), (11, 2048, 4096, 2)],
)  # fmt: skip
def test_a_window_of_more_bits_is_scaled(bits: int, center: float, width: float, factor: int) -> None:
    """Weasis issue 373: a picture of 12 bits, its window written for 16."""
    size = 1 << bits
    histogram = counts(size // 8, size // 2, size=size)
    given = replace(TWELVE, bits_stored=bits, windows=((center, width),))
    own = replace(TWELVE, bits_stored=bits, windows=((size / 2, size),))
    shown, found = display_table(given, histogram, "auto")
    assert np.abs(shown - display_table(own, histogram, "auto")[0]).max() < 0.001
    assert found.flags == (f"window {center:g}/{width:g} is {factor} times the range of the values: scaled to it",)


def test_a_window_of_more_signed_bits_is_scaled() -> None:
    signed = replace(TWELVE, signed=True, windows=((0, 65_536),))
    found = rendering(signed, counts(100, 1800))
    assert (found.voi, found.center, found.width) == ("window linear", 0, 4096)


def test_a_window_for_rescaled_values_is_not_scaled() -> None:
    rescaled = replace(TWELVE, slope=16.0, windows=((32_768, 65_536),))
    found = rendering(rescaled, counts(600, 3200))
    assert (found.voi, found.width, found.flags) == ("window linear", 65_536, ())


def test_a_lut_that_shows_nothing_is_not_used() -> None:
    dark = Lut(0, 12, tuple(range(256)) + (4095,) * (4096 - 256))  # white above 255
    found = rendering(replace(TWELVE, voi_lut=dark), counts(300, 3200))
    assert (found.voi, found.flags) == ("percentiles", ("the VOI LUT shows nothing", "window taken from percentiles"))


def test_8_bits_fall_back_to_full_range() -> None:
    eight = replace(TWELVE, bits_stored=8, windows=((32_000, 100),))
    found = rendering(eight, counts(100, 187, size=256))
    assert (found.voi, found.flags) == ("full range", ("window 32000/100 shows nothing",))


def test_a_later_window_is_taken_where_the_first_shows_nothing() -> None:
    several = replace(TWELVE, windows=((200_000, 10), (2048, 2), (2048, 4096), (1200, 900)))
    found = rendering(several, counts(600, 3200))
    assert (found.voi, found.center, found.width) == ("window linear", 2048, 4096)
    assert found.flags == ("window 200000/10 shows nothing", "window 2048/2 shows nothing")


def test_a_picture_of_two_values_keeps_its_window() -> None:
    histogram = np.zeros(4096, np.int64)
    histogram[[1000, 3000]] = 500
    assert rendering(replace(TWELVE, windows=((2048, 4096),)), histogram).voi == "window linear"
