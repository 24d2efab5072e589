"""Bits Stored and High Bit that the data contradict: corrected where the data prove it, flagged, else as the standard
says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mura_batch.dicom.pixels.decode import decode
from mura_batch.dicom.policy import IntakePolicy

Write = Callable[..., Path]
Pixels = NDArray[Any]
WINDOW = {"WindowCenter": 2048, "WindowWidth": 4096}


def shown(path: Path) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    picture, _, decisions = decode(path.read_bytes(), IntakePolicy(), 0)
    return picture, decisions.flags


@pytest.mark.parametrize(
    ("why", "how", "tags", "flag"),
    [
        ("shifted, as High Bit says", lambda p: p << 4, {"HighBit": 15}, ""),
        ("shifted, with garbage below", lambda p: p << 4 | 9, {"HighBit": 15}, ""),
        ("not shifted, though High Bit says so", lambda p: p, {"HighBit": 15}, "High Bit (0028,0102) 15 contradicts"),
        ("shifted, though High Bit says not", lambda p: p << 4, {}, "High Bit (0028,0102) 11 contradicts"),
        ("High Bit of 12 bits", lambda p: p, {"BitsStored": 16, "HighBit": 11}, "values have 12 bits"),
        ("High Bit beyond Bits Allocated", lambda p: p, {"HighBit": 16}, "values have 12 bits"),
        ("High Bit below Bits Stored", lambda p: p, {"HighBit": 3}, "values have 12 bits"),
        ("more bits than stored", lambda p: p, {"BitsStored": 10, "HighBit": 9}, "values have 12 bits"),
        ("a constant above", lambda p: p | 0x3000, {}, ""),
        ("an overlay above", lambda p: np.where(p % 7 == 0, p | 0xA000, p), {}, ""),
        ("an overlay of few pixels", lambda p: np.where(p == p[100, 80], p | 0x8000, p), {}, ""),
    ],
)
def test_the_same_values_show_the_same_picture(
    write: Write, limb: Pixels, why: str, how: Callable[[Pixels], Pixels], tags: dict[str, int], flag: str
) -> None:
    plain, _ = shown(write("plain", **WINDOW))
    picture, flags = shown(write("a", stored=how(limb).astype(np.uint16), **WINDOW, **tags))
    assert np.array_equal(picture, plain), why
    assert [flag in found for found in flags] == ([True] if flag else []), flags


@pytest.mark.parametrize("extension", [0, 0xF000])
def test_signed_values_may_be_extended_or_not(write: Write, limb: Pixels, extension: int) -> None:
    values = limb.astype(np.int32) - 2048
    patterns = (values & 0xFFF) | np.where(values < 0, extension, 0)
    window = {"WindowCenter": 0, "WindowWidth": 4096}
    picture, flags = shown(write("a", stored=patterns.astype(np.uint16).view(np.int16), **window))
    plain, _ = shown(write("plain", RescaleSlope=1, RescaleIntercept=-2048, **window))
    assert np.array_equal(picture, plain)
    assert flags == ()


def test_overshoots_of_a_lossy_codec_are_clipped(write: Write, limb: Pixels) -> None:
    """A sharp edge beside white: a few values one beyond 4095, which would be black if they were masked."""
    values = limb.copy()
    values[50:54, 60:90] = 4095
    plain, _ = shown(write("plain", stored=values, **WINDOW))
    values[51:53, 60:90] = 4100
    picture, flags = shown(write("a", stored=values, **WINDOW))
    assert np.array_equal(picture, plain)
    assert flags == ("values above 12 bits stored: clipped",)


def test_saturated_values_that_are_also_padding_stay_white(write: Write, limb: Pixels) -> None:
    """Padding makes a picture rectangular (PS3.3 C.7.5.1.1.2): it fills a corner."""
    saturated = np.where(limb > 2600, 4095, limb).astype(np.uint16)
    saturated[[0, 0, -1, -1], [0, -1, 0, -1]] = 400
    plain, _ = shown(write("plain", stored=saturated, **WINDOW))
    picture, flags = shown(write("a", stored=saturated, PixelPaddingValue=4095, **WINDOW))
    assert np.array_equal(picture, plain)
    assert flags == ("Pixel Padding Value (0028,0120) is in no corner of the picture: shown as a value",)
    saturated[:40, :40] = 4095
    picture, flags = shown(write("b", stored=saturated, PixelPaddingValue=4095, **WINDOW))
    assert (picture[:40, :40] == 0).all()
    assert flags == ()
