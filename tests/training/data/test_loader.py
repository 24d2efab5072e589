"""Batches: who sees what, and that it does not depend on how."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from train.data.augment import Augmentation, augment
from train.data.examples import Example
from train.data.loader import Slice, Targets, Views, batches, epoch_rows, loader

HOW = Augmentation(rotate=25, scale=0.2, shift=0.06, shear=6, gamma=0.3, contrast=0.2, brightness=0.08, erase=0.5)


def examples(*studies: int) -> list[Example]:
    """One study for each number, of that many pictures."""
    return [
        Example(f"{s}/{i}", "train", str(s), str(s), "hand", False) for s, n in enumerate(studies) for i in range(n)
    ]


def views(count: int = 12) -> Views:
    pictures = np.random.default_rng(0).integers(0, 256, (count, 32, 32), dtype=np.uint8)
    row = np.arange(count, dtype=np.float32)
    return Views(
        pictures, Targets(row, np.stack([row, row], 1), np.zeros((count, 0), np.float32)), HOW, seed=1, epoch=2
    )


def test_an_epoch_has_each_picture_or_study_once() -> None:
    some = examples(3, 1, 5)
    assert sorted(epoch_rows(some, "pictures", 1, 0)) == list(range(9))
    rows = epoch_rows(some, "studies", 1, 0)
    assert sorted(some[row].study for row in rows) == ["0", "1", "2"]
    seen = {int(row) for epoch in range(60) for row in epoch_rows(some, "studies", 1, epoch)}
    assert seen == set(range(9)), "every picture of a study has its turn"


def test_the_processes_share_a_batch_without_overlap_or_loss() -> None:
    rows = np.arange(20)
    shares = [list(batches(rows, Slice(0, 0, batch=6, rank=rank, world=2))) for rank in (0, 1)]
    assert len(shares[0]) == len(shares[1]) == 3
    for number, (one, two) in enumerate(zip(*shares, strict=True)):
        assert sorted(one + two) == list(range(6 * number, 6 * number + 6))


def test_a_resumed_epoch_goes_on_where_it_stopped() -> None:
    rows = np.random.default_rng(0).permutation(20)
    assert list(batches(rows, Slice(0, 0, 6, first=2))) == list(batches(rows, Slice(0, 0, 6)))[2:]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_view_does_not_depend_on_batch_or_process(workers: int) -> None:
    all_views = views()
    rows = np.arange(12)
    batched = torch.cat([b["images"] for b in loader(all_views, rows, Slice(1, 2, 4), workers)])
    assert torch.equal(batched, torch.stack([all_views[row]["images"] for row in range(12)]))
    assert len({v.numpy().tobytes() for v in batched}) == 12


def test_reading_batches_leaves_torchs_own_generator_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(loader(views(), np.arange(12), Slice(1, 2, 4), 0))
    assert torch.equal(torch.get_rng_state(), before)


def test_augmentation_switched_off_changes_nothing() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    still = Augmentation(flip=0.0)
    assert np.array_equal(augment(picture, still, np.random.default_rng(0)), picture)
    mirrored = augment(picture, Augmentation(flip=1.0), np.random.default_rng(0))
    assert np.array_equal(mirrored, picture[:, ::-1])


def test_a_turn_moves_a_point_to_where_geometry_puts_it() -> None:
    """A bright spot 10 pixels right of the centre stays 10 pixels from it, within the 25 degrees asked for."""
    picture = np.zeros((65, 65), np.uint8)
    picture[31:34, 41:44] = 255
    turned = augment(picture, Augmentation(flip=0.0, rotate=25.0), np.random.default_rng(4))
    rows, columns = np.nonzero(turned > 128)
    y, x = rows.mean() - 32, columns.mean() - 32
    assert np.hypot(x, y) == pytest.approx(10, abs=0.7)
    assert 1 < abs(np.degrees(np.arctan2(y, x))) <= 26


def test_a_zoom_only_enlarges() -> None:
    picture = np.zeros((101, 101), np.uint8)
    picture[40:61, 40:61] = 200  # 441 pixels
    rng = np.random.default_rng(3)
    sizes = [np.sqrt((augment(picture, Augmentation(flip=0, zoom=0.5), rng) > 100).sum()) / 21 for _ in range(60)]
    assert min(sizes) == pytest.approx(1.0, abs=0.06)
    assert max(sizes) == pytest.approx(1.5, abs=0.06)


def test_chance_is_the_share_of_changed_views() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    rng = np.random.default_rng(5)
    still = sum(
        np.array_equal(augment(picture, Augmentation(flip=0, rotate=30, chance=0.75), rng), picture) for _ in range(400)
    )
    assert still == pytest.approx(100, abs=30)  # three and a half standard deviations of 400 draws


def test_lighting_is_fastais() -> None:
    """fastai 1: brightness(change=(0.4, 0.6)) and contrast(scale=(0.8, 1.25)) for max_lighting 0.2, in logits: a middle
    grey goes no further than 0.4 or 0.6 and then a contrast of 1.25, logit 1.25 * log(0.6 / 0.4), 0.624."""
    grey = np.full((8, 8), 128, np.uint8)
    rng = np.random.default_rng(1)
    seen = [int(augment(grey, Augmentation(flip=0, lighting=0.2), rng)[0, 0]) for _ in range(4000)]
    assert (min(seen), max(seen)) == (pytest.approx(255 * 0.376, abs=3), pytest.approx(255 * 0.624, abs=3))
    bright = [int(augment(grey + 100, Augmentation(flip=0, lighting=0.2), rng)[0, 0]) for _ in range(500)]
    assert max(bright) < 255, "in logits nothing is clipped"


def test_letterbox_bars_stay_black() -> None:
    picture = np.zeros((64, 64), np.uint8)
    picture[:, 24:40] = 100
    bright = Augmentation(flip=0.0, brightness=0.3, gamma=0.5, contrast=0.3)
    for seed in range(5):
        assert not augment(picture, bright, np.random.default_rng(seed))[:, :20].any()


def test_archive_traces_appear_at_their_chance_and_change_little() -> None:
    rng = np.random.default_rng(0)
    picture = np.zeros((96, 96), np.uint8)
    picture[:, 20:76] = 60 + 40 * np.sin(np.arange(96) / 7)[:, None]
    for part in ("resample", "blur", "compress"):
        views = [augment(picture, Augmentation(flip=0, **{part: 0.5}), rng) for _ in range(200)]
        changed = [not np.array_equal(view, picture) for view in views]
        assert 70 <= sum(changed) <= 130, part
        assert max(np.abs(view.astype(int) - picture).mean() for view in views) < 8, "it is still the same picture"
        assert not any(view[:, :20].any() for view in views), "the letterbox bars stay black"


def test_recipes_without_archive_traces_produce_the_earlier_views() -> None:
    """A run begun before these parts existed continues with the same pictures; the sum is of that version."""
    picture = np.random.default_rng(3).integers(0, 256, (32, 32), np.uint8)
    view = augment(picture, Augmentation(rotate=20, erase=0.5), np.random.default_rng(9))
    assert int(view.astype(int).sum()) == 110890


@pytest.mark.parametrize("upright", [True, False])
def test_a_random_square_reaches_both_ends(upright: bool) -> None:
    across = np.broadcast_to(np.arange(96, dtype=np.uint8), (32, 96))
    picture = np.ascontiguousarray(across.T if upright else across)
    rng = np.random.default_rng(4)
    cut = [augment(picture, Augmentation(flip=0), rng) for _ in range(200)]
    along = [view.T if upright else view for view in cut]
    assert {view.shape for view in cut} == {(32, 32)}
    assert min(view[0, 0] for view in along) <= 2
    assert max(view[0, -1] for view in along) >= 93
    assert {int(view[0, -1]) - int(view[0, 0]) for view in along} <= {30, 31}, "nothing is scaled"
    assert all((view == view[0]).all() for view in along)


def test_a_random_zoom_has_no_border_and_reaches_every_side() -> None:
    """fastai 1: the point that stays where it is lies anywhere in the picture."""
    picture = np.zeros((64, 64), np.uint8)
    picture[8:56, 8:56] = 200
    rng = np.random.default_rng(2)
    views = [augment(picture, Augmentation(flip=0, zoom=0.3, focal=True), rng) for _ in range(200)]
    centres = np.array([[axis.mean() for axis in np.nonzero(view > 100)] for view in views])
    assert centres.min(axis=0).max() < 30
    assert centres.max(axis=0).min() > 33
    still = np.full((64, 64), 90, np.uint8)
    assert all((augment(still, Augmentation(flip=0, zoom=0.3, focal=True), rng) == 90).all() for _ in range(50))
