"""Large frames at half their size: exactly the mean of four stored values, and only where that shows the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mura_batch.dicom import syntax as syntaxes
from mura_batch.dicom.pixels.decode import decode
from mura_batch.dicom.pixels.halve import sum_blocks
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.preprocess import InputSpec, preprocess

Write = Callable[..., Path]
POLICY = IntakePolicy()
TARGET = 32  # pixels of the model's longer side: the fixture's 200 rows are more than six times that
WINDOW = {"WindowCenter": 2048, "WindowWidth": 4096}


def reduction(path: Path, target: int = TARGET) -> int:
    return decode(path.read_bytes(), POLICY, target)[2].reduction


@pytest.mark.parametrize(("shift", "bits"), [(0, 12), (0, 14), (4, 12), (3, 10)])
def test_a_sum_ignores_bits_beside_the_stored_values(shift: int, bits: int) -> None:
    rng = np.random.default_rng(1)
    stored = rng.integers(0, 1 << bits, (146, 90))  # more than a piece of rows, and no multiple of it
    stored[:2, :2] = (1 << bits) - 1  # the greatest sum
    beside = rng.integers(0, 1 << 16, stored.shape) & ~(((1 << bits) - 1) << shift)
    patterns = (stored << shift | beside).astype(np.uint16)
    assert np.array_equal(sum_blocks(patterns, shift, bits), stored.reshape(73, 2, 45, 2).sum(axis=(1, 3)))


def test_a_halved_frame_shows_the_mean_of_four(write: Write, limb: NDArray[Any]) -> None:
    """LINEAR over 4096 values (PS3.3 C.11.2.1.2.1): 255 * mean / 4095, computed here by hand."""
    shown, aspect, made = decode(write("a", **WINDOW).read_bytes(), POLICY, TARGET)
    means = limb.reshape(100, 2, 80, 2).mean(axis=(1, 3))
    assert (made.reduction, made.decoder, aspect) == (2, "native", 1.0)
    assert np.abs(shown - np.rint(means * 255 / 4095)).max() <= 1  # where a mean lies at a half
    assert np.mean(shown == np.rint(means * 255 / 4095)) > 0.999


@pytest.mark.parametrize("invert", [False, True])
def test_no_bias_is_left_as_means_of_grey_levels_would(write: Write, limb: NDArray[Any], invert: bool) -> None:
    tags = {"PhotometricInterpretation": "MONOCHROME1"} if invert else {}
    half = decode(write("a", **WINDOW, **tags).read_bytes(), POLICY, TARGET)[0].mean()
    whole = decode(write("a", **WINDOW, **tags).read_bytes(), POLICY, 0)[0].mean()
    assert abs(half - whole) < 0.02  # grey levels; means that round halves up are 0.12 brighter


@pytest.mark.parametrize(
    ("case", "tags"),
    [
        ("as it is", {}),
        ("an overlay in the upper bits", {}),
        ("high bit 15", {"HighBit": 15}),
    ],
)
def test_what_lies_beside_the_stored_bits_is_not_summed(
    write: Write, limb: NDArray[Any], case: str, tags: dict[str, Any]
) -> None:
    plain = decode(write("plain", **WINDOW).read_bytes(), POLICY, TARGET)[0]
    stored = {"as it is": limb, "an overlay in the upper bits": limb | (limb % 7 == 0) * np.uint16(0xA000)}.get(
        case, limb << 4 | 9
    )
    shown, _, made = decode(write("b", stored=stored, **WINDOW, **tags).read_bytes(), POLICY, TARGET)
    assert made.reduction == 2
    assert np.array_equal(shown, plain)


@pytest.mark.parametrize("syntax", [syntaxes.RLE, syntaxes.JPEG_LS_LOSSLESS, syntaxes.JPEG_LOSSLESS_SV1])
def test_every_syntax_that_is_decoded_whole_is_halved_alike(write: Write, syntax: str) -> None:
    plain = decode(write("plain", **WINDOW).read_bytes(), POLICY, TARGET)
    twin = decode(write("twin", syntax=syntax, **WINDOW).read_bytes(), POLICY, TARGET)
    assert twin[2].reduction == 2
    assert np.array_equal(twin[0], plain[0])


@pytest.mark.parametrize(
    ("why", "stored", "tags"),
    [
        ("a window that the picture outruns", None, {"WindowCenter": 2048, "WindowWidth": 500}),
        ("padding", None, {"PixelPaddingValue": 0, **WINDOW}),
        ("a sign", lambda limb: limb.astype(np.int16) - 2048, {"WindowCenter": 0, "WindowWidth": 4096}),
        ("8 bits", lambda limb: (limb >> 4).astype(np.uint8), {}),
        ("16 bits", lambda limb: limb << 4, {"BitsStored": 16, "HighBit": 15}),
        ("odd rows", lambda limb: limb[:-1], WINDOW),
        ("odd columns", lambda limb: np.ascontiguousarray(limb[:, :-1]), WINDOW),
    ],
)
def test_a_frame_that_would_look_different_stays_whole(
    write: Write, limb: NDArray[Any], why: str, stored: Any, tags: dict[str, Any]
) -> None:
    pixels = limb if stored is None else stored(limb)
    shown, _, made = decode(write("a", stored=pixels, **tags).read_bytes(), POLICY, TARGET)
    assert (made.reduction, shown.shape) == (1, pixels.shape), why


def test_small_frames_and_full_resolution_stay_whole(write: Write) -> None:
    path = write("a", **WINDOW)
    assert [reduction(path, target) for target in (32, 33, 34, 0)] == [2, 2, 1, 1]


@pytest.mark.parametrize("width", [4096, 2048, 1100])
@pytest.mark.parametrize("noise", [6, 30])
def test_the_model_gets_the_same_picture(write: Write, fracatlas: Path, width: int, noise: int) -> None:
    """Of real radiographs at a detector's size, up to windows that their values outrun almost fourfold."""
    differences = []
    for number, image in enumerate(sorted((fracatlas / "images").iterdir())[100:3400:1100]):
        with Image.open(image) as picture:
            grey = picture.convert("F")
        scale = 2000 / max(grey.size)
        size = (round(grey.width * scale) // 2 * 2, round(grey.height * scale) // 2 * 2)
        large = np.asarray(grey.resize(size, Image.Resampling.BICUBIC)) * 15.0 + 120
        stored = np.clip(large + np.random.default_rng(number).normal(0, noise, large.shape), 0, 4095).astype(np.uint16)
        data = write("a", stored=stored, WindowCenter=int(np.percentile(stored, 70)), WindowWidth=width).read_bytes()
        fast, aspect, made = decode(data, POLICY, 320)
        assert made.reduction == 2
        whole = preprocess(decode(data, POLICY, 0)[0], InputSpec())
        differences.append(np.abs(preprocess(fast, InputSpec(), aspect).astype(int) - whole))
    assert np.mean([d.mean() for d in differences]) < 0.2  # grey levels; the limits of docs/intake.md are 0.5 and 4
    assert np.percentile(np.stack(differences), 99.9) <= 2
