"""Small pictures: what the model saw, and where it looked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mura_batch.errors import OutputError
from mura_batch.report.thumbnails import SIZE, save_thumbnail, thumbnail_paths

UID = "../../../etc/passwd"  # a SOP Instance UID comes from a file: it is never part of a path


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


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB"), dtype=np.int16)


def warmth(shown: np.ndarray) -> np.ndarray:
    """Red minus blue: 0 in a grey picture."""
    return shown[..., 0] - shown[..., 2]


def test_a_picture_and_its_map_are_small_files_named_by_a_hash(tmp_path: Path, picture: np.ndarray) -> None:
    save_thumbnail(tmp_path, UID, picture, hot_corner(), 0.9)
    paths = thumbnail_paths(tmp_path, UID)
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    for path in paths:
        assert path.parent == tmp_path
        assert path.stat().st_size < 15_000
        assert pixels(path).shape == (SIZE, SIZE, 3)


def test_the_picture_is_what_the_model_saw(tmp_path: Path, picture: np.ndarray) -> None:
    save_thumbnail(tmp_path, UID, picture, hot_corner(), 0.9)
    plain, _ = thumbnail_paths(tmp_path, UID)
    expected = np.asarray(Image.fromarray(picture).resize((SIZE, SIZE), Image.Resampling.BILINEAR), dtype=np.int16)
    assert np.abs(pixels(plain)[..., 0] - expected).mean() < 2
    assert not warmth(pixels(plain)).any()


def test_the_map_glows_where_the_activation_is_and_nowhere_else(tmp_path: Path, picture: np.ndarray) -> None:
    save_thumbnail(tmp_path, UID, picture, hot_corner(), 0.9)
    _, mapped = thumbnail_paths(tmp_path, UID)
    warm = warmth(pixels(mapped))
    assert warm[:40, :40].mean() > 60
    assert warm[120:, 120:].mean() < 3


def test_a_normal_image_glows_less_than_an_abnormal_one(tmp_path: Path, picture: np.ndarray) -> None:
    save_thumbnail(tmp_path, "low", picture, hot_corner(), 0.02)
    save_thumbnail(tmp_path, "high", picture, hot_corner(), 0.95)
    low, high = (warmth(pixels(thumbnail_paths(tmp_path, uid)[1]))[:40, :40].mean() for uid in ("low", "high"))
    assert low < 0.5 * high


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, -5.0])
def test_a_map_that_is_empty_or_not_finite_still_gives_a_picture(
    tmp_path: Path, picture: np.ndarray, value: float
) -> None:
    save_thumbnail(tmp_path, UID, picture, hot_corner(value), 0.5)
    assert pixels(thumbnail_paths(tmp_path, UID)[1]).shape == (SIZE, SIZE, 3)


def test_the_model_input_of_any_size_is_shown_at_one_size(tmp_path: Path) -> None:
    for size in (96, 224, 512):
        save_thumbnail(tmp_path, str(size), np.full((size, size), 90, np.uint8), hot_corner(), 0.5)
        assert pixels(thumbnail_paths(tmp_path, str(size))[0]).shape == (SIZE, SIZE, 3)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, picture: np.ndarray) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        save_thumbnail(tmp_path / "nowhere", UID, picture, hot_corner(), 0.5)
