"""What the model saw and where it looked: kept small, and drawn for the page."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from mura_batch.outputs.report.thumbnails import blend_map, draw_map, encode_thumbnail


@pytest.fixture
def picture() -> np.ndarray:
    """[320, 320] uint8: a bright shaft with a soft edge on dark ground."""
    x = np.linspace(-1, 1, 320)
    shaft = np.exp(-((x[None, :] / 0.3) ** 4)) * (0.7 + 0.3 * np.cos(9 * x[:, None]))
    return (255 * shaft).clip(0, 255).astype(np.uint8)


def hot_corner(value: float = 8.0) -> np.ndarray:
    cam = np.full((10, 10), -1.0, dtype=np.float32)
    cam[:3, :3] = value
    return cam


def pixels(jpeg: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(jpeg)) as opened:
        assert opened.format == "JPEG"
        return np.asarray(opened.convert("RGB"), dtype=np.int16)


def drawn(picture: np.ndarray, cam: np.ndarray, probability: float) -> np.ndarray:
    """The picture under its map, as a browser lays the one over the other."""
    thumbnail = encode_thumbnail(picture, cam)
    with Image.open(io.BytesIO(thumbnail)) as seen, Image.open(io.BytesIO(draw_map(thumbnail, probability))) as layer:
        assert layer.format == "PNG"
        over = layer.convert("RGBA").resize(seen.size, Image.Resampling.BILINEAR)
        return np.asarray(Image.alpha_composite(seen.convert("RGBA"), over).convert("RGB"), dtype=np.int16)


def test_the_layer_looks_like_the_map_in_result_objects(picture: np.ndarray) -> None:
    whole = np.asarray(blend_map(encode_thumbnail(picture, hot_corner()), 0.8), dtype=np.int16)
    assert np.abs(drawn(picture, hot_corner(), 0.8) - whole).mean() < 2


def test_a_map_takes_a_kilobyte(picture: np.ndarray) -> None:
    cam = np.random.default_rng(0).normal(0, 2, (10, 10)).astype(np.float32)
    assert len(draw_map(encode_thumbnail(picture, cam), 0.8)) < 1600


def warmth(shown: np.ndarray) -> np.ndarray:
    """Red minus blue: 0 in a grey picture."""
    return shown[..., 0] - shown[..., 2]


def test_a_picture_and_its_map_are_one_small_jpeg(picture: np.ndarray) -> None:
    assert len(encode_thumbnail(picture, hot_corner())) < 15_000


def test_the_picture_is_what_the_model_saw(picture: np.ndarray) -> None:
    shown = pixels(encode_thumbnail(picture, hot_corner()))
    assert np.abs(shown[..., 0] - picture).mean() < 2
    assert not warmth(shown).any()


def test_the_map_glows_where_the_activation_is_and_nowhere_else(picture: np.ndarray) -> None:
    warm = warmth(drawn(picture, hot_corner(), 0.9))
    assert warm[:57, :57].mean() > 60
    assert warm[171:, 171:].mean() < 3


def test_under_the_map_the_picture_is_seen(picture: np.ndarray) -> None:
    shown = drawn(picture, hot_corner(), 1.0)
    glowing = shown[:57, :, 2]  # blue: what the map itself has least of
    assert np.corrcoef(glowing.ravel(), picture[:57].ravel())[0, 1] > 0.9
    assert np.abs(shown[171:, 171:, 0] - picture[171:, 171:]).mean() < 3


def test_a_normal_image_glows_less_than_an_abnormal_one(picture: np.ndarray) -> None:
    low, high = (warmth(drawn(picture, hot_corner(), p))[:57, :57].mean() for p in (0.02, 0.95))
    assert low < 0.5 * high


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, -5.0])
def test_an_empty_or_non_finite_map_still_gives_a_picture(picture: np.ndarray, value: float) -> None:
    assert drawn(picture, hot_corner(value), 0.5).shape == (320, 320, 3)


def test_the_model_input_is_shown_in_its_own_size() -> None:
    for size in (96, 224, 512):
        assert drawn(np.full((size, size), 90, np.uint8), hot_corner(), 0.5).shape == (size, size, 3)


def test_a_file_that_a_power_cut_broke_is_no_picture(picture: np.ndarray) -> None:
    whole = encode_thumbnail(picture, hot_corner())
    plain = io.BytesIO()
    Image.fromarray(picture).save(plain, "JPEG")
    for broken in (b"", bytes(4096), whole[:40], whole[:2000], plain.getvalue()):
        with pytest.raises((OSError, ValueError)):
            blend_map(broken, 0.5)
    for broken in (b"", bytes(4096), whole[:40], plain.getvalue()):
        with pytest.raises((OSError, ValueError)):
            draw_map(broken, 0.5)
